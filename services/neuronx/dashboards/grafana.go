package dashboards

import (
	"encoding/json"
	"fmt"
	"strings"
)

// schemaVersion is of classic dashboards; a newer Grafana migrates it when it loads the file.
const schemaVersion = 39

// columns is the width of Grafana's grid.
const columns = 24

// size is the width and height of a kind of panel in cells of the grid.
func (k Kind) size() (w, h int) {
	switch k {
	case Stat:
		return 4, 4
	case Table:
		return 12, 7
	default:
		return 8, 7
	}
}

type object = map[string]any

// source makes panels follow the dashboard's variable, so that a file fits every Grafana.
func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

// JSON writes a dashboard as classic Grafana JSON. The same value gives the same bytes.
func (d Dashboard) JSON() ([]byte, error) {
	panels, id, y := []object{}, 1, 0
	for _, row := range d.Rows {
		panels = append(panels, object{"id": id, "type": "row", "title": row.Title, "collapsed": false, "panels": []object{}, "gridPos": at(0, y, columns, 1)})
		id++
		y++
		x, high := 0, 0
		for _, p := range row.Panels {
			if p.Kind == "" {
				p.Kind = Lines
			}
			w, h := p.Kind.size()
			if x+w > columns || (x > 0 && h != high) {
				x, y = 0, y+high
			}
			panels = append(panels, p.grafana(id, at(x, y, w, h)))
			id++
			x, high = x+w, h
		}
		y += high
	}
	out, err := json.MarshalIndent(object{
		"uid": d.UID, "title": d.Title, "description": d.Help, "tags": []string{"neuronx"}, "schemaVersion": schemaVersion, "version": 1,
		"editable": false, "graphTooltip": 1, "timezone": "browser", "refresh": "10s", "time": object{"from": "now-1h", "to": "now"},
		"templating": object{"list": variables()}, "annotations": object{"list": []object{}}, "panels": panels,
		"links": []object{{"type": "dashboards", "title": "NeuronX", "tags": []string{"neuronx"}, "asDropdown": true, "includeVars": true, "keepTime": true}},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write dashboard %s: %w", d.UID, err)
	}
	return append(out, '\n'), nil
}

func at(x, y, w, h int) object { return object{"x": x, "y": y, "w": w, "h": h} }

// variables are the datasource, and the services and instances that are shown.
func variables() []object {
	choice := func(name, label, query string) object {
		return object{
			"name": name, "label": label, "type": "query", "datasource": source(), "definition": query, "query": object{"query": query, "refId": name},
			"refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"}, "options": []object{},
		}
	}
	return []object{
		{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": object{}, "options": []object{}},
		choice("service", "Service", "label_values(neuronx_ready, service)"),
		choice("instance", "Instance", `label_values(neuronx_ready{service=~"$service"}, instance)`),
	}
}

func (p Panel) grafana(id int, position object) object {
	help := p.Help
	if p.EmptyWhenHealthy {
		help += " " + EmptyWhenHealthy
	}
	targets := make([]object, len(p.Queries))
	for i, query := range p.Queries {
		targets[i] = object{
			"refId": string(rune('A' + i)), "datasource": source(), "editorMode": "code", "expr": strings.ReplaceAll(query.Expr, "SEL", selector),
			"legendFormat": query.Legend, "instant": p.Kind != Lines, "range": p.Kind == Lines,
		}
		if p.Kind == Table {
			targets[i]["format"] = "table"
		}
	}
	steps := []object{{"color": "green", "value": nil}}
	if p.Warn != 0 && p.Warn != p.Bad {
		steps = append(steps, object{"color": "yellow", "value": p.Warn})
	}
	if p.Bad != 0 {
		steps = append(steps, object{"color": "red", "value": p.Bad})
	}
	defaults := object{"unit": p.Unit, "thresholds": object{"mode": "absolute", "steps": steps}, "noValue": "none"}
	panel := object{
		"id": id, "type": string(p.Kind), "title": p.Title, "description": help, "gridPos": position, "datasource": source(), "targets": targets,
		"fieldConfig": object{"defaults": defaults, "overrides": []object{}},
	}
	switch p.Kind {
	case Stat:
		defaults["color"] = object{"mode": "thresholds"}
		panel["options"] = object{"colorMode": "value", "graphMode": "none", "reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}}
	case Table:
		panel["options"] = object{"showHeader": true}
		panel["transformations"] = []object{{"id": "organize", "options": object{"excludeByName": object{"Time": true, "__name__": true, "job": true}}}}
	default:
		defaults["color"] = object{"mode": "palette-classic"}
		if p.Unit != number {
			defaults["min"] = 0
		}
		drawn := object{"lineWidth": 1, "fillOpacity": 5, "showPoints": "never", "thresholdsStyle": object{"mode": "off"}}
		if len(steps) > 1 {
			drawn["thresholdsStyle"] = object{"mode": "dashed"}
		}
		defaults["custom"] = drawn
		panel["options"] = object{"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": object{"mode": "multi", "sort": "desc"}}
	}
	return panel
}
