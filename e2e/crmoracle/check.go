package crmoracle

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/neuronx/engine/services/standin"
)

// maxLine bounds a line of a record: the stand-in takes bodies of 1 MiB, and JSON may escape each of their bytes by six.
const maxLine = 8 << 20

// Finding is one difference between requests and the vendor's files.
type Finding struct {
	Operation string // as in operations.yaml, or "METHOD path Version" of a request that is none
	Pointer   string // "body /customFields/*/id", "query limit", "header Version", "path contactId", "" for the request as a whole
	What      string
	Line      int // of the record, the first time; 0 where no request is to blame
	Count     int
}

func (f Finding) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d (%d in all): ", f.Line, f.Count)
	}
	b.WriteString(f.Operation)
	if f.Pointer != "" {
		b.WriteString(": " + f.Pointer)
	}
	return b.String() + ": " + f.What
}

// Report is what a record comes to. It is good when there are no findings.
type Report struct {
	Requests   int
	Operations int // that were called
	Excused    int // differences that deviations.yaml lists
	Findings   []Finding
}

// Check reads a record to its end and holds every request against the spec. The error is of the record itself: empty, torn.
func (s *Spec) Check(record io.Reader) (Report, error) {
	var rep Report
	seen := map[string]bool{}
	findings := map[[2]string]*Finding{}
	lines := bufio.NewScanner(record)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		rep.Requests++
		var q standin.Recorded
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil || d.More() {
			return rep, fmt.Errorf("line %d of the record is no request: it was torn, or two stand-ins of different builds wrote it", rep.Requests)
		}
		op, found := s.request(q)
		seen[op] = true
		for _, f := range found {
			key := [2]string{f.Operation, f.Pointer}
			if findings[key] == nil {
				f.Line = rep.Requests
				findings[key] = &f
			}
			findings[key].Count++
		}
	}
	if err := lines.Err(); err != nil {
		return rep, fmt.Errorf("read line %d of the record: %w", rep.Requests+1, err)
	}
	if rep.Requests == 0 {
		return rep, errors.New("the record has no request: " + standin.RecordVariable + " did not reach the stand-ins, or no test ran")
	}
	for _, d := range s.deviations {
		key := [2]string{d.Operation, d.Pointer}
		if findings[key] == nil {
			rep.Findings = append(rep.Findings, Finding{Operation: d.Operation, Pointer: d.Pointer, What: "deviations.yaml lists this, and no request has it; take it out"})
			continue
		}
		rep.Excused++
		delete(findings, key)
	}
	for n, o := range s.operations {
		switch {
		case seen[n]:
			rep.Operations++
		case o.called:
			rep.Findings = append(rep.Findings, Finding{Operation: n, What: "operations.yaml lists it as called, and no test calls it"})
		}
	}
	for _, m := range s.missing {
		if !seen[m.Operation] {
			rep.Findings = append(rep.Findings, Finding{Operation: m.Operation, What: "operations.yaml lists it as missing, and no test calls it"})
		}
	}
	for _, f := range findings {
		rep.Findings = append(rep.Findings, *f)
	}
	slices.SortFunc(rep.Findings, func(a, b Finding) int {
		return strings.Compare(a.Operation+"\x00"+a.Pointer, b.Operation+"\x00"+b.Pointer)
	})
	return rep, nil
}

// request holds one request against its operation, whose name it gives; "" when there is none.
func (s *Spec) request(q standin.Recorded) (string, []Finding) {
	for _, m := range s.missing {
		if m.Operation == q.Method+" "+q.Path+" "+q.Version {
			return m.Operation, nil
		}
	}
	o, params := s.find(q.Method, q.Path, q.Version)
	if o == nil {
		what := "no operation that operations.yaml lists has this method and path"
		if others := s.elsewhere(q.Method, q.Path); len(others) > 0 {
			what = "the vendor has this only as " + strings.Join(others, ", ")
		}
		return "", []Finding{{Operation: strings.TrimSpace(q.Method + " " + q.Path + " " + q.Version), What: what}}
	}
	say := func(pointer, what string) Finding { return Finding{Operation: o.name, Pointer: pointer, What: what} }
	query, err := url.ParseQuery(q.Query)
	if err != nil {
		return o.name, []Finding{say("query", "it can't be decoded")}
	}
	req, err := http.NewRequest(q.Method, "http://vendor.invalid"+q.Path+"?"+q.Query, strings.NewReader(q.Body))
	if err != nil {
		return o.name, []Finding{say("", "it can't be made a request again")}
	}
	req.Header.Set("Version", q.Version)
	if q.ContentType != "" {
		req.Header.Set("Content-Type", q.ContentType)
	}
	var out []Finding
	for name := range query {
		known := slices.ContainsFunc(o.op.Parameters, func(p *openapi3.ParameterRef) bool {
			return p.Value.In == openapi3.ParameterInQuery && p.Value.Name == name
		})
		if !known {
			out = append(out, say("query "+name, "the vendor has no query parameter of this name"))
		}
	}
	if q.Body != "" && o.op.RequestBody == nil {
		out = append(out, say("body", "the vendor takes no body here"))
	}
	err = openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, QueryParams: query,
		Route:   &routers.Route{Spec: o.doc, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.op},
		Options: &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
	for _, d := range flatten("", err) {
		out = append(out, say(d.pointer, d.what))
	}
	return o.name, out
}

var unsupported = regexp.MustCompile(`^property "(.*)" is unsupported$`)

type difference struct{ pointer, what string }

// flatten gives the single differences in an error of kin-openapi, without the values that its own texts quote.
func flatten(where string, err error) []difference {
	var out []difference
	switch e := err.(type) { //nolint:errorlint // each layer is looked at by itself
	case nil:
	case openapi3.MultiError:
		for _, one := range e {
			out = append(out, flatten(where, one)...)
		}
	case *openapi3filter.RequestError:
		switch {
		case e.Parameter != nil:
			where = e.Parameter.In + " " + e.Parameter.Name
		case e.RequestBody != nil:
			where = "body"
		}
		if e.Err == nil {
			return []difference{{where, e.Reason}}
		}
		return flatten(where, e.Err)
	case *openapi3.SchemaError:
		p := anyIndex(e.JSONPointer())
		if m := unsupported.FindStringSubmatch(e.Reason); m != nil { // the pointer leads to the object that has it
			p = append(p, m[1])
		}
		if len(p) > 0 && where == "body" {
			where += " /" + strings.Join(p, "/")
		}
		return []difference{{where, e.Reason}}
	case *openapi3filter.ParseError:
		return []difference{{where, cmp.Or(e.Reason, "it can't be decoded")}}
	default:
		return []difference{{where, err.Error()}}
	}
	return out
}

// anyIndex replaces the indexes of arrays by *, so that a deviation is one of all elements.
func anyIndex(pointer []string) []string {
	out := slices.Clone(pointer)
	for i, p := range out {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			out[i] = "*"
		}
	}
	return out
}
