// Sends every TLS connection to the simulator; the server name stays, so that
// certificates and Host are those of WeChat.
'use strict'
const tls = require('tls')
const [host, port] = process.env.SIM_ADDR.split(':')
const connect = tls.connect
tls.connect = function (options, ...rest) {
  if (options && typeof options === 'object') {
    options = Object.assign({}, options, {
      servername: options.servername || options.host,
      host,
      port: Number(port)
    })
  }
  return connect.call(this, options, ...rest)
}
