package effects

import "github.com/neuronx/engine/pkg/crm"

// changes are the requests of one attempt that may have changed something in the CRM.
type changes struct {
	begun int  // without those that are proven to have changed nothing
	last  bool // the request before is one of them
}

// began counts a request that was sent. One of which no byte left changed nothing.
func (c *changes) began(call crm.Call, answer crm.Answer) {
	c.last = call.Changes && !call.Again && !answer.NotSent
	if c.last {
		c.begun++
	}
}

// refused takes back the request before, where the adapter says that its answer proves that it was refused before it was acted upon.
func (c *changes) refused(is bool) {
	if is && c.last {
		c.begun--
	}
	c.last = false
}

// dispose has the last word on how an attempt ends, whatever its adapter says: an effect of class once for which a request may have changed
// something is not tried again, nor does it count as failed only because nothing more can be asked for.
func (c *changes) dispose(class crm.Class, end crm.End) crm.End {
	if class != crm.Once || c.begun == 0 {
		return end
	}
	if end.Status == crm.Pending || end.Code == crm.CodeEndless {
		end.Status, end.After = crm.Unknown, 0
		end.Detail = "it is not known whether it was carried out: " + end.Detail
	}
	return end
}
