// Drives wechat4u as it comes from npm: commands come as JSON lines on stdin,
// what happens goes out as JSON lines on stdout. The test decides.
'use strict'
const fs = require('fs')
const readline = require('readline')
const Wechat = require('wechat4u')

const out = (event) => process.stdout.write(JSON.stringify(event) + '\n')
const bot = new Wechat()

bot.on('uuid', (uuid) => out({ event: 'uuid', uuid }))
bot.on('user-avatar', () => out({ event: 'scanned' }))
bot.on('login', () => out({ event: 'login' }))
bot.on('logout', () => out({ event: 'logout' }))
bot.on('error', (err) => out({ event: 'error', text: String(err && err.message), tips: err && err.tips }))
bot.on('contacts-updated', () => out({ event: 'contacts', count: Object.keys(bot.contacts).length }))
bot.on('message', (m) => {
  const from = bot.contacts[m.FromUserName]
  out({ event: 'message', id: m.MsgId, type: m.MsgType, text: m.Content, from: from && from.NickName })
})

const find = (nick) => {
  const c = Object.values(bot.contacts).find((c) => c.NickName === nick)
  if (!c) throw new Error('no contact ' + nick)
  return c
}

const commands = {
  text: (c) => bot.sendMsg(c.text, find(c.to).UserName),
  file: (c) => bot.sendMsg({ file: fs.createReadStream(c.path) }, find(c.to).UserName),
  revoke: (c) => bot.revokeMsg(c.id, find(c.to).UserName),
  picture: (c) => bot.getMsgImg(c.id).then((r) => ({ size: r.data.length })),
  members: (c) => Promise.resolve({ names: find(c.to).MemberList.map((m) => m.NickName) })
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const c = JSON.parse(line)
  Promise.resolve()
    .then(() => commands[c.do](c))
    .then((result) => out({ event: 'done', do: c.do, result }))
    .catch((err) => out({ event: 'failed', do: c.do, text: String(err && err.message), tips: err && err.tips }))
}).on('close', () => process.exit(0))

bot.start()
