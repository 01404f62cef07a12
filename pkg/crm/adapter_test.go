package crm

import (
	"testing"
	"time"
)

func TestGate_DecidesBeforeTheAdapterIsAsked(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	lead, note := Command{LeadID: "l1", Email: "a@b.co"}, Command{LeadID: "l1", Body: "hi"}
	carries := map[string]Kind{KindUpsert: {}, KindTag: {}, KindNote: {}}
	for name, c := range map[string]struct {
		g      Gate
		status Status
		code   string
	}{
		"upsert":                 {Gate{Kind: KindUpsert, Command: lead, Mode: ModeSend, Connected: true, NotAfter: now}, "", ""},
		"note":                   {Gate{Kind: KindNote, Command: note, Mode: ModeSend, Connected: true}, "", ""},
		"not connected":          {Gate{Kind: KindUpsert, Command: lead, Mode: ModeSend}, Off, ""},
		"off":                    {Gate{Kind: KindUpsert, Command: lead, Mode: ModeOff, Connected: true}, Off, ""},
		"record":                 {Gate{Kind: KindUpsert, Command: lead, Mode: ModeRecord, Connected: true}, Recorded, ""},
		"no mode":                {Gate{Kind: KindUpsert, Command: lead, Connected: true}, Recorded, ""},
		"withheld":               {Gate{Kind: KindMessage, Command: note, Mode: ModeSend, Connected: true, Withheld: CodeErased, Why: "erased"}, Failed, CodeErased},
		"withheld, in record":    {Gate{Kind: KindMessage, Command: note, Mode: ModeRecord, Connected: true, Withheld: CodeErased}, Recorded, ""},
		"expired":                {Gate{Kind: KindUpsert, Command: lead, Mode: ModeSend, Connected: true, NotAfter: now.Add(-time.Second)}, Failed, CodeExpired},
		"no lead":                {Gate{Kind: KindTag, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"unfit":                  {Gate{Kind: KindTag, Command: Command{Unfit: "x"}, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"empty note":             {Gate{Kind: KindNote, Command: lead, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"message":                {Gate{Kind: KindMessage, Command: note, Mode: ModeSend, Connected: true}, Failed, CodeUnsupported},
		"message by template":    {Gate{Kind: KindMessage, Command: Command{LeadID: "l1", Template: "t"}, Mode: ModeSend, Connected: true}, Failed, CodeUnsupported},
		"message of two texts":   {Gate{Kind: KindMessage, Command: Command{LeadID: "l1", Body: "Hi", Template: "t"}, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"message of blanks":      {Gate{Kind: KindMessage, Command: Command{LeadID: "l1", Body: " \n"}, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"message of no text":     {Gate{Kind: KindMessage, Command: lead, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"message in mode record": {Gate{Kind: KindMessage, Command: note, Mode: ModeRecord, Connected: true}, Recorded, ""},
		"task":                   {Gate{Kind: KindTask, Command: Command{LeadID: "l1", Title: "Call"}, Mode: ModeSend, Connected: true}, Failed, CodeUnsupported},
		"task without a title":   {Gate{Kind: KindTask, Command: Command{LeadID: "l1", Title: " "}, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"assign":                 {Gate{Kind: KindAssign, Command: Command{LeadID: "l1", OwnerID: "u1"}, Mode: ModeSend, Connected: true}, Failed, CodeUnsupported},
		"assign, no owner":       {Gate{Kind: KindAssign, Command: Command{LeadID: "l1", OwnerID: " "}, Mode: ModeSend, Connected: true}, Failed, CodeInvalidCommand},
		"unknown kind":           {Gate{Kind: "crm.fax.send", Command: lead, Mode: ModeSend, Connected: true}, Failed, CodeUnknownKind},
	} {
		end := c.g.Ends(carries, now)
		if end == nil {
			end = &End{}
		}
		if end.Status != c.status || end.Code != c.code || end.Status == Failed && end.Detail == "" {
			t.Errorf("%s: %+v", name, end)
		}
	}
}
