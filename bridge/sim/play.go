package sim

// transport is what plays the servers of one of WeChat's protocols.
type transport interface {
	protocol
	phone
	chats
	onlooker
	describe(*State) // fills in what belongs to the protocol
}

// phone is what a person does with the phone.
type phone interface {
	playScan(as string) error
	playConfirm() error
	playDecline() error
	playLogout(retcode int) error
	playForget()
}

// chats is what happens in the account's chats.
type chats interface {
	post(Message) (msgID string, err error)
	changeContact(ContactChange) error
	changeRoom(RoomChange) error
	uploaded(msgID string) ([]byte, bool)
}

// onlooker is what a script looks out for.
type onlooker interface {
	playAuto(on bool)         // from now on the phone scans and confirms by itself, or not
	changes() <-chan struct{} // closed at the next thing that happens
	polling() int             // number of the live login if its client has polled, else 0
}

// Scan plays a phone that scans the newest QR code.
func (s *Server) Scan() error { return s.ScanAs("") }

// ScanAs plays the phone of another person, known by that name from then on.
func (s *Server) ScanAs(name string) error { return s.proto.playScan(name) }

// Confirm plays a phone that confirms the newest scanned code or push login.
func (s *Server) Confirm() error { return s.proto.playConfirm() }

// Decline plays a phone on which the newest scanned code or push login is
// refused. Polls then say that the code has expired: what WeChat says is not
// known.
func (s *Server) Decline() error { return s.proto.playDecline() }

// Logout ends the login: from now on it gets retcode (0 means 1101, logged out
// by the phone). The phone still knows the browser, see Forget.
func (s *Server) Logout(retcode int) error { return s.proto.playLogout(retcode) }

// Forget makes the phone forget all browsers, so that push login is refused.
func (s *Server) Forget() { s.proto.playForget() }

// Say lets somebody write to the account, or its owner on the phone, and
// returns the message's id.
func (s *Server) Say(m Message) (string, error) { return s.proto.post(m) }

// MediaBytes returns what was uploaded for an entry of the ledger, while the
// simulator still keeps it (the newest 64 MiB).
func (s *Server) MediaBytes(msgID string) ([]byte, bool) { return s.proto.uploaded(msgID) }

// ContactChange is something that happens to a contact: Do is "add" (a new
// friend or service account, or a stranger who becomes a friend), "rename"
// (Name), "remark" (Name), "delete".
type ContactChange struct {
	Do   string `json:"do"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Kind string `json:"kind,omitempty"` // for add: friend (default), service
}

// ChangeContact changes a contact; the client is told.
func (s *Server) ChangeContact(c ContactChange) error { return s.proto.changeContact(c) }

// RoomChange is something that happens to a room: Do is "create" (Name, Member
// lists the members), "join", "leave" (Member, by By), "rename" (Name, by By),
// "save" (the owner of the account saves it to the contacts). Member "self"
// is the account itself.
type RoomChange struct {
	Do      string   `json:"do"`
	Room    string   `json:"room"`
	Name    string   `json:"name,omitempty"`
	Members []string `json:"members,omitempty"` // for create
	Member  string   `json:"member,omitempty"`
	By      string   `json:"by,omitempty"` // who did it; for leave: empty means by themselves
}

// ChangeRoom changes a room; the client is told, and a system message in the
// room says so.
func (s *Server) ChangeRoom(c RoomChange) error { return s.proto.changeRoom(c) }
