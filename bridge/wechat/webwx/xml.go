package webwx

import (
	"encoding/xml"
	"io"
	"strings"
)

// appXML is what an app message (49) holds. All fields are text: a number
// that is none must not hide the rest.
type appXML struct {
	App struct {
		Title  string `xml:"title"`
		Des    string `xml:"des"`
		Type   string `xml:"type"`
		URL    string `xml:"url"`
		Source string `xml:"sourcedisplayname"`
		Attach struct {
			TotalLen string `xml:"totallen"`
			ID       string `xml:"attachid"`
			Ext      string `xml:"fileext"`
		} `xml:"appattach"`
		Refer struct {
			Type    string `xml:"type"`
			ID      string `xml:"svrid"`
			Name    string `xml:"displayname"`
			Content string `xml:"content"`
		} `xml:"refermsg"`
		Pay struct {
			Fee  string `xml:"feedesc"`
			Memo string `xml:"pay_memo"`
		} `xml:"wcpayinfo"`
		Program struct {
			Page string `xml:"pagepath"`
		} `xml:"weappinfo"`
	} `xml:"appmsg"`
	Info struct {
		Name string `xml:"appname"`
	} `xml:"appinfo"`
}

// personXML is a card (42) or a friend request (37).
type personXML struct {
	User     string `xml:"username,attr"`
	Nick     string `xml:"nickname,attr"`
	Alias    string `xml:"alias,attr"`
	From     string `xml:"fromusername,attr"`
	FromNick string `xml:"fromnickname,attr"`
	Content  string `xml:"content,attr"`
	Ticket   string `xml:"ticket,attr"`
}

// placeXML is a location (48, or the original content of a text).
type placeXML struct {
	Location struct {
		X     string `xml:"x,attr"`
		Y     string `xml:"y,attr"`
		Label string `xml:"label,attr"`
		Name  string `xml:"poiname,attr"`
	} `xml:"location"`
}

// sysXML is a system message (10002): mostly a recall.
type sysXML struct {
	Type   string `xml:"type,attr"`
	Revoke struct {
		Old  string `xml:"oldmsgid"`
		ID   string `xml:"msgid"`
		Text string `xml:"replacemsg"`
	} `xml:"revokemsg"`
}

// parseXML reads a content that is escaped not at all, once or twice, and
// reports whether it was XML.
func parseXML(content string, into any) bool {
	s := content
	for range 3 {
		s = plain(s)
		if readXML(s, into) {
			return true
		}
		next := unescape(s)
		if next == s {
			return false
		}
		s = next
	}
	return false
}

func readXML(s string, into any) bool {
	t := strings.TrimSpace(strings.TrimPrefix(s, "\ufeff"))
	if !strings.HasPrefix(t, "<") {
		return false
	}
	dec := xml.NewDecoder(strings.NewReader(t))
	dec.Strict = false
	dec.Entity = xml.HTMLEntity
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	return dec.Decode(into) == nil
}
