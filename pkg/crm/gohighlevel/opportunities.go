package gohighlevel

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/neuronx/engine/pkg/crm"
)

// pipelines is the request that lists the pipelines of a location with their stages.
func pipelines(location string) crm.Call {
	return crm.Call{Op: opPipelines, Method: http.MethodGet, Version: version, Path: "/opportunities/pipelines?" + url.Values{"locationId": {location}}.Encode()}
}

// pipelineIDs and stageIDs are the ids that the names of the command have, by what was read.
func (s state) pipelineIDs(names map[string]crm.Names) []string {
	return names[crm.ObjectPipeline].IDs[called(s.Command.Pipeline)]
}

func (s state) stageIDs(names map[string]crm.Names, pipeline string) []string {
	return names[crm.ObjectStage].IDs[pipeline+"/"+called(s.Command.Stage)]
}

// stageCall reports whether the command names a pipeline or a stage whose id has to be asked for.
func (s state) stageCall() bool {
	if crm.ObjectOf(s.Kind) != crm.ObjectOpportunity || s.Names[crm.ObjectPipeline].Fresh {
		return false
	}
	var pipeline string
	if called(s.Command.Pipeline) != "" {
		ids := s.pipelineIDs(s.Names)
		if len(ids) == 0 {
			return true
		}
		pipeline = ids[0]
	}
	return called(s.Command.Stage) != "" && len(s.stageIDs(s.Names, pipeline)) == 0
}

// findStage finds the ids of the pipeline and the stage that the command names. A name that nothing has, or more than one, ends the attempt: a deal in
// another stage is worse than one that is not there.
func (a *attempt) findStage() bool {
	if crm.ObjectOf(a.Kind) != crm.ObjectOpportunity {
		return true
	}
	names := a.Names
	if a.stageCall() {
		var on bool
		if names, on = a.list(pipelines(a.Account), "pipelines", readPipelines); !on {
			return false
		}
	}
	on := true
	if called(a.Command.Pipeline) != "" {
		if a.pipeline, on = a.one("pipeline", a.Command.Pipeline, a.pipelineIDs(names)); !on {
			return false
		}
	}
	if called(a.Command.Stage) != "" {
		a.stage, on = a.one("stage", a.Command.Stage, a.stageIDs(names, a.pipeline))
	}
	return on
}

// unopened ends what can't be done with an opportunity or a task that the CRM is not known to have.
func (a *attempt) unopened() *outcome {
	var o outcome
	switch {
	case a.Kind == crm.KindFinish && a.Remote == "":
		o = failed(crm.CodeTaskUnknown, "no task of this id was added to this lead's contact; add it first with crm.task.add")
		return &o
	case a.Remote != "" || crm.ObjectOf(a.Kind) != crm.ObjectOpportunity:
		return nil
	case a.Kind != crm.KindOpportunity:
		o = failed(crm.CodeUnknownObject, "no opportunity of this id is known in the CRM; open it first with crm.opportunity.upsert")
	case a.pipeline == "":
		o = failed(crm.CodeInvalidCommand, "a new opportunity needs a pipeline")
	default:
		return nil
	}
	return &o
}

// opportunity turns a command about an opportunity into its request. One that is known is changed by its id, which may be done again. A new one is opened
// by a plain insert: the vendor's own upsert matches by what it does not document.
func (s state) opportunity() []planned {
	c := s.Command
	path := "/opportunities/" + url.PathEscape(s.Remote)
	if s.Kind == crm.KindClose {
		call := change(opStatus, http.MethodPut, path+"/status", struct {
			Status string `json:"status"`
		}{c.Closed})
		call.Again = true
		return []planned{call}
	}
	type values struct {
		PipelineID      string      `json:"pipelineId,omitempty"`
		PipelineStageID string      `json:"pipelineStageId,omitempty"`
		Name            string      `json:"name,omitempty"`
		MonetaryValue   json.Number `json:"monetaryValue,omitempty"`
		AssignedTo      string      `json:"assignedTo,omitempty"`
	}
	v := values{s.pipeline, s.stage, strings.TrimSpace(c.Name), json.Number(c.Value), s.owner}
	if s.Kind == crm.KindMove {
		v = values{PipelineID: s.pipeline, PipelineStageID: s.stage}
	}
	switch {
	case s.Remote != "" && v == values{}:
		return nil
	case s.Remote != "":
		call := change(opChange, http.MethodPut, path, v)
		call.Again = true
		return []planned{call}
	}
	if v.Name == "" {
		v.Name = c.OpportunityID
	}
	return []planned{change(opOpen, http.MethodPost, "/opportunities/", struct {
		LocationID string `json:"locationId"`
		ContactID  string `json:"contactId"`
		Status     string `json:"status"`
		values
	}{s.Account, s.Link.Contact, "open", v})}
}

// readPipelines reads pipelines and their stages by what they are called.
func readPipelines(body []byte) (map[string]map[string][]string, bool) {
	type object struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Stages []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"stages"`
	}
	var raw struct {
		Pipelines *[]object `json:"pipelines"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.Pipelines == nil {
		return nil, false
	}
	of, in := map[string][]string{}, map[string][]string{}
	for _, p := range *raw.Pipelines {
		if !validID(p.ID) {
			continue
		}
		callIt(of, "", p.ID, p.ID, p.Name)
		for _, s := range p.Stages {
			if validID(s.ID) {
				callIt(in, p.ID+"/", s.ID, s.ID, s.Name)
				callIt(in, "/", s.ID, s.ID, s.Name)
			}
		}
	}
	return map[string]map[string][]string{crm.ObjectPipeline: of, crm.ObjectStage: in}, true
}
