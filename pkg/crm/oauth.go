package crm

import (
	"time"

	"github.com/neuronx/engine/pkg/secret"
)

// App is what a CRM's marketplace has of this engine: it asks people for access to their accounts (OAuth 2.0, RFC 6749, authorization code).
type App struct {
	ID       string
	Secret   secret.Text
	Consent  string // URL of the page on which people consent
	Redirect string // URL to which they are sent back
	Scopes   string // with blanks between them
}

// Granter is an adapter whose accounts are opened by consent. It is pure, as an Adapter is: it makes the requests and reads the answers.
type Granter interface {
	ConsentURL(a App, state string) string
	Exchange(a App, code string) Call        // the code that a person was sent back with
	Refresh(a App, refresh secret.Text) Call // the token can be used once
	Reconnect(a App, account string) Call    // a code without a person, for an account whose tokens were lost
	Reconnected(Answer) (code string, v Verdict)
	Granted(Answer) (Tokens, Verdict) // of Exchange and Refresh
}

// Verdict is what an answer about tokens means.
type Verdict struct {
	Kind   VerdictKind
	Detail string // for people; never holds a token
}

// VerdictKind is the kind of a verdict.
type VerdictKind int

// The kinds of verdicts.
const (
	Unclear VerdictKind = iota // it may have been done: no answer, one that can't be read, a server's failure
	Given
	Refused // for good: the token or code is used up or was taken back
	NotDone // proven: nothing was sent, or it was refused for now
)

// Tokens are what a consent or a refresh gave.
type Tokens struct {
	Access  secret.Text
	Refresh secret.Text
	Expires time.Duration // life of Access
	Scopes  string
	Account string // id of the one account that they open; "": they are a company's, and open none themselves
	Company string
}
