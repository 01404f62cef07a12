package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/neuronx/engine/pkg/avro"
)

const (
	maxRequest  = 1 << 20 // bytes
	maxSubject  = 512
	onlyLevel   = "FULL_TRANSITIVE"
	onlyMode    = "READWRITE"
	onlyContext = "."
)

// mux lists the part of Confluent's API that is served.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	get := func(pattern string, fn func(*http.Request, *state) (any, error)) {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := s.read(func(st *state) (any, error) { return fn(r, st) })
			reply(w, v, err)
		})
	}
	get("/{$}", func(*http.Request, *state) (any, error) { return struct{}{}, nil })
	get("/contexts", func(*http.Request, *state) (any, error) { return []string{onlyContext}, nil })
	get("/subjects", func(r *http.Request, st *state) (any, error) { return st.names(prefixOf(r)), nil })
	get("/subjects/{subject}/versions", versionsOf)
	get("/subjects/{subject}/versions/{version}", oneVersion)
	get("/subjects/{subject}/versions/{version}/schema", func(r *http.Request, st *state) (any, error) {
		v, err := versionAt(r, st)
		if err != nil {
			return nil, err
		}
		return json.RawMessage(v.Schema.Text()), nil
	})
	get("/schemas", allVersions)
	get("/schemas/types", func(*http.Request, *state) (any, error) { return []string{"AVRO"}, nil })
	get("/schemas/ids/{id}", func(r *http.Request, st *state) (any, error) {
		schema, err := schemaAt(r, st)
		if err != nil {
			return nil, err
		}
		return map[string]string{"schema": string(schema.Text())}, nil
	})
	get("/schemas/ids/{id}/schema", func(r *http.Request, st *state) (any, error) {
		schema, err := schemaAt(r, st)
		if err != nil {
			return nil, err
		}
		return json.RawMessage(schema.Text()), nil
	})
	get("/schemas/ids/{id}/subjects", func(r *http.Request, st *state) (any, error) {
		uses, err := usesOf(r, st)
		names := []string{}
		for _, v := range uses {
			names = append(names, v.Subject)
		}
		return names, err
	})
	get("/schemas/ids/{id}/versions", func(r *http.Request, st *state) (any, error) {
		uses, err := usesOf(r, st)
		out := []map[string]any{}
		for _, v := range uses {
			out = append(out, map[string]any{"subject": v.Subject, "version": v.Version})
		}
		return out, err
	})
	get("/config", func(*http.Request, *state) (any, error) {
		return map[string]string{"compatibilityLevel": onlyLevel}, nil
	})
	get("/config/{subject}", func(r *http.Request, _ *state) (any, error) {
		if r.URL.Query().Get("defaultToGlobal") != "true" {
			return nil, refuse(codeNoCompatibility, "subject %q has no compatibility level of its own", r.PathValue("subject"))
		}
		return map[string]string{"compatibilityLevel": onlyLevel}, nil
	})
	get("/mode", func(*http.Request, *state) (any, error) { return map[string]string{"mode": onlyMode}, nil })
	get("/mode/{subject}", func(r *http.Request, _ *state) (any, error) {
		if r.URL.Query().Get("defaultToGlobal") != "true" {
			return nil, refuse(codeNoMode, "subject %q has no mode of its own", r.PathValue("subject"))
		}
		return map[string]string{"mode": onlyMode}, nil
	})
	mux.HandleFunc("PUT /config", s.putConfig)
	mux.HandleFunc("PUT /config/{subject}", s.putConfig)
	mux.HandleFunc("POST /subjects/{subject}", s.postLookup)
	mux.HandleFunc("POST /subjects/{subject}/versions", s.postVersion)
	mux.HandleFunc("POST /compatibility/subjects/{subject}/versions", s.postCompatibility)
	mux.HandleFunc("POST /compatibility/subjects/{subject}/versions/{version}", s.postCompatibility)
	refused := func(w http.ResponseWriter, _ *http.Request) {
		answerError(w, refuse(codeOperation, "this registry keeps every version for ever, in one mode"))
	}
	mux.HandleFunc("DELETE /subjects/", refused)
	mux.HandleFunc("DELETE /config/", refused)
	mux.HandleFunc("PUT /mode", refused)
	mux.HandleFunc("PUT /mode/", refused)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerError(w, &problem{Code: http.StatusNotFound, Message: "no such resource: " + r.Method + " " + r.URL.Path})
	})
	return mux
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		answerError(w, err)
		return
	}
	answer(w, http.StatusOK, v)
}

func prefixOf(r *http.Request) string {
	prefix := r.URL.Query().Get("subjectPrefix")
	if prefix == ":*:" { // all contexts; there is one
		return ""
	}
	return prefix
}

type versionBody struct {
	Subject string `json:"subject"`
	ID      int32  `json:"id"`
	Version int    `json:"version"`
	Schema  string `json:"schema"`
}

func (v version) body() versionBody {
	return versionBody{Subject: v.Subject, ID: v.ID, Version: v.Version, Schema: string(v.Schema.Text())}
}

func versionsOf(r *http.Request, st *state) (any, error) {
	versions := st.subjects[r.PathValue("subject")]
	if len(versions) == 0 {
		return nil, noSubject(r)
	}
	numbers := make([]int, len(versions))
	for i, v := range versions {
		numbers[i] = v.Version
	}
	return numbers, nil
}

func oneVersion(r *http.Request, st *state) (any, error) {
	v, err := versionAt(r, st)
	if err != nil {
		return nil, err
	}
	return v.body(), nil
}

func versionAt(r *http.Request, st *state) (version, error) {
	versions := st.subjects[r.PathValue("subject")]
	if len(versions) == 0 {
		return version{}, noSubject(r)
	}
	given := r.PathValue("version")
	if given == "latest" || given == "-1" || given == "" {
		return versions[len(versions)-1], nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 {
		return version{}, refuse(codeInvalidVersion, "version %.20q is not a positive number, nor latest", given)
	}
	if n > len(versions) {
		return version{}, refuse(codeVersionNotFound, "version %d not found", n)
	}
	return versions[n-1], nil
}

func allVersions(r *http.Request, st *state) (any, error) {
	latestOnly := r.URL.Query().Get("latestOnly") == "true"
	out := []versionBody{}
	for _, name := range st.names(prefixOf(r)) {
		versions := st.subjects[name]
		if latestOnly {
			versions = versions[len(versions)-1:]
		}
		for _, v := range versions {
			out = append(out, v.body())
		}
	}
	return out, nil
}

func schemaAt(r *http.Request, st *state) (*avro.Schema, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	schema, ok := st.byID[int32(id)]
	if err != nil || !ok {
		return nil, refuse(codeSchemaNotFound, "schema %.20s not found", r.PathValue("id"))
	}
	return schema, nil
}

func usesOf(r *http.Request, st *state) ([]version, error) {
	schema, err := schemaAt(r, st)
	if err != nil {
		return nil, err
	}
	var uses []version
	for _, name := range st.names("") {
		if v, ok := st.find(name, schema); ok {
			uses = append(uses, v)
		}
	}
	return uses, nil
}

func noSubject(r *http.Request) error {
	return refuse(codeSubjectNotFound, "subject %.100q not found", r.PathValue("subject"))
}

// subjectOf returns the subject of a request that may write. Qualified subjects (:.context:name) are not served.
func subjectOf(r *http.Request) (string, error) {
	subject := r.PathValue("subject")
	if subject == "" || len(subject) > maxSubject || strings.HasPrefix(subject, ":") || strings.ContainsFunc(subject, unicode.IsControl) {
		return "", refuse(codeInvalidSubject, "subject %.100q is empty, too long, of another context, or holds control characters", subject)
	}
	return subject, nil
}

// decode reads a bounded JSON body.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(v)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refuse(codeTooLarge, "the request is larger than %d bytes", maxRequest)
	}
	if err != nil {
		return refuse(codeInvalidSchema, "the request is not JSON of the expected shape: %v", err)
	}
	return nil
}

func schemaOf(w http.ResponseWriter, r *http.Request) (*avro.Schema, error) {
	var body struct {
		Schema     string            `json:"schema"`
		SchemaType string            `json:"schemaType"`
		References []json.RawMessage `json:"references"`
	}
	if err := decode(w, r, &body); err != nil {
		return nil, err
	}
	if body.SchemaType != "" && body.SchemaType != "AVRO" {
		return nil, refuse(codeInvalidSchema, "schema type %.20q is not served, only AVRO", body.SchemaType)
	}
	if len(body.References) > 0 {
		return nil, refuse(codeInvalidSchema, "references are not served; define the type within the schema")
	}
	schema, err := avro.Parse([]byte(body.Schema))
	if err != nil {
		return nil, refuse(codeInvalidSchema, "%v", err)
	}
	return schema, nil
}

func (s *Server) postVersion(w http.ResponseWriter, r *http.Request) {
	subject, err := subjectOf(r)
	if err != nil {
		answerError(w, err)
		return
	}
	schema, err := schemaOf(w, r)
	if err != nil {
		answerError(w, err)
		return
	}
	v, err := s.register(subject, schema)
	if err != nil {
		if _, known := errors.AsType[*problem](err); !known {
			s.log.Error("schema not registered", "subject", subject, "err", err)
		}
		answerError(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]int32{"id": v.ID})
}

func (s *Server) postLookup(w http.ResponseWriter, r *http.Request) {
	schema, err := schemaOf(w, r)
	if err != nil {
		answerError(w, err)
		return
	}
	v, err := s.read(func(st *state) (any, error) {
		subject := r.PathValue("subject")
		if len(st.subjects[subject]) == 0 {
			return nil, noSubject(r)
		}
		v, ok := st.find(subject, schema)
		if !ok {
			return nil, refuse(codeSchemaNotFound, "subject %.100q has no such schema", subject)
		}
		return v.body(), nil
	})
	reply(w, v, err)
}

func (s *Server) postCompatibility(w http.ResponseWriter, r *http.Request) {
	schema, err := schemaOf(w, r)
	if err != nil {
		answerError(w, err)
		return
	}
	v, err := s.read(func(st *state) (any, error) {
		against := st.subjects[r.PathValue("subject")]
		if r.PathValue("version") != "" {
			one, err := versionAt(r, st)
			if err != nil {
				return nil, err
			}
			against = []version{one}
		}
		out := struct {
			Compatible bool     `json:"is_compatible"`
			Messages   []string `json:"messages,omitempty"`
		}{Compatible: true}
		for _, earlier := range against {
			if err := avro.CheckCompatible(schema, earlier.Schema); err != nil {
				out.Compatible = false
				out.Messages = append(out.Messages, "version "+strconv.Itoa(earlier.Version)+": "+err.Error())
			}
		}
		if r.URL.Query().Get("verbose") != "true" {
			out.Messages = nil
		}
		return out, nil
	})
	reply(w, v, err)
}

func (s *Server) putConfig(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Compatibility string `json:"compatibility"`
	}
	if err := decode(w, r, &body); err != nil {
		answerError(w, err)
		return
	}
	if body.Compatibility != onlyLevel {
		answerError(w, refuse(codeInvalidLevel, "compatibility %.30q is not served, only %s", body.Compatibility, onlyLevel))
		return
	}
	answer(w, http.StatusOK, map[string]string{"compatibility": onlyLevel})
}
