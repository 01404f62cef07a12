package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

func TestLoad_FlagBeatsEnvBeatsFileBeatsDefault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("a: file\nb: file\nc: file\nlist: [x, y]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NEURONX_A", "env")
	t.Setenv("NEURONX_B", "env")
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	got := map[string]*string{}
	for _, n := range []string{"a", "b", "c", "d"} {
		got[n] = fs.String(n, "default", "")
	}
	list := fs.StringSlice("list", nil, "")
	if err := Load(fs, []string{"--config", file, "--a", "flag"}); err != nil {
		t.Fatal(err)
	}
	if *got["a"] != "flag" || *got["b"] != "env" || *got["c"] != "file" || *got["d"] != "default" || len(*list) != 2 {
		t.Errorf("a=%s b=%s c=%s d=%s list=%v", *got["a"], *got["b"], *got["c"], *got["d"], *list)
	}
}

func TestLoad_NamesEveryProblemAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("kafka-broker: x\nnumber: many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	var s Settings
	s.Bind(fs, KafkaBrokers)
	fs.Int("number", 0, "")
	err := Load(fs, []string{"--config", file})
	for _, want := range []string{`unknown key "kafka-broker"`, "did you mean kafka-brokers?", `"many" is no value for --number`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if err := s.Require(KafkaBrokers, PostgresURL); err == nil || !strings.Contains(err.Error(), "NEURONX_KAFKA_BROKERS") || !strings.Contains(err.Error(), "NEURONX_POSTGRES_URL") {
		t.Errorf("Require: %v", err)
	}
}

func TestLoad_SuggestsTheFirstOfTheFlagsThatAreMostLikeTheName(t *testing.T) {
	for name, want := range map[string]string{"kafka-x": "did you mean kafka-brokers?", "kafka-tls-c": "did you mean kafka-tls-ca?", "ka": "--help lists the settings",
		"kaf": "did you mean kafka-brokers?", "x": "--help lists the settings"} {
		fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
		for _, flag := range []string{"kafka-user", "kafka-tls-key", "kafka-tls-ca", "kafka-brokers"} {
			fs.String(flag, "", "")
		}
		if got := suggest(fs, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestSecret_HidesItselfEverywhere(t *testing.T) {
	s := struct{ URL Secret }{"postgres://u:hunter2@h/db"}
	var log bytes.Buffer
	l, err := NewLogger(&log, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	l.Info("x", "url", s.URL, "all", s)
	if out := fmt.Sprintf("%v %+v %#v %s", s, s, s, s.URL) + log.String(); strings.Contains(out, "hunter2") {
		t.Error(out)
	}
}

func TestGroup_FirstToReturnStopsAll(t *testing.T) {
	boom := errors.New("boom")
	g := NewGroup()
	g.Add("waits", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	g.Add("fails", func(context.Context) error { return boom })
	if err := g.Run(context.Background()); !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "fails: ") {
		t.Error(err)
	}
	g = NewGroup()
	g.Add("leaves", func(context.Context) error { return nil })
	if err := g.Run(context.Background()); err == nil {
		t.Error("an actor that leaves early goes unnoticed")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g = NewGroup()
	g.Add("waits", func(ctx context.Context) error { <-ctx.Done(); return nil })
	if err := g.Run(ctx); err != nil {
		t.Errorf("a stop is taken for a failure: %v", err)
	}
}

func TestReadiness_IsFalseUntilEveryComponentIsFine(t *testing.T) {
	r := NewReadiness()
	h := AdminHandler(NewRegistry(), r, nil)
	get := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code
	}
	if get("/readyz") != 503 || get("/livez") != 200 {
		t.Error("ready before anything was said")
	}
	r.Set("kafka", nil)
	r.Set("postgres", errors.New("down"))
	if get("/readyz") != 503 {
		t.Error("ready while Postgres is down")
	}
	r.Set("postgres", nil)
	if get("/readyz") != 200 || get("/metrics") != 200 {
		t.Error("not ready when all is fine")
	}
}

func TestNewLogger_WritesHostileTextAsOneVisibleLine(t *testing.T) {
	const hostile = "e\x1b[31m\u009b0m\u202egnp\u2028\r\nlevel=ERROR msg=forged\x7f\uffff\x9b"
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := NewLogger(&out, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.With("tenant", hostile).WithGroup("g").Info(hostile, hostile, hostile, "err", errors.New(hostile), "list", []string{hostile})
		text := out.String()
		if strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x1b\u009b\u202e\u2028\r\x7f\uffff") || !utf8.ValidString(text) {
			t.Errorf("%s: %q", format, text)
		}
		if format == "json" && !json.Valid(out.Bytes()) {
			t.Errorf("not JSON: %q", text)
		}
	}
}

func TestServeAdmin_AnswersToNoPage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := NewReadiness()
	ready.Set("x", nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	stopped := false
	go func() {
		done <- Serve(ctx, l, AdminHandler(NewRegistry(), ready, func(mux *http.ServeMux) {
			mux.HandleFunc("POST /services/{name}/stop", func(http.ResponseWriter, *http.Request) { stopped = true })
		}), "engine.example.com")
	}()
	ask := func(method, path, host, site string) int {
		req, _ := http.NewRequest(method, "http://"+l.Addr().String()+path, nil)
		req.Host = host
		if site != "" {
			req.Header.Set("Sec-Fetch-Site", site)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		method, path, host, site string
		want                     int
	}{
		{"POST", "/services/ingest/stop", "evil.example", "cross-site", 421}, {"POST", "/services/ingest/stop", "", "cross-site", 403},
		{"GET", "/metrics", "evil.example", "", 421}, {"GET", "/metrics", "engine.example.com", "", 200}, {"GET", "/readyz", "", "", 200},
	} {
		if got := ask(c.method, c.path, c.host, c.site); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	cancel()
	if err := <-done; err != nil || stopped {
		t.Errorf("%v, stopped %v", err, stopped)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestRun_ExitCodes(t *testing.T) {
	var out, errs bytes.Buffer
	s := &Service{Name: "x", DefaultAdmin: "127.0.0.1:0", Run: func(context.Context, *Runtime) error { return errors.New("broken") }}
	if code := run(s, nil, &out, &errs); code != 1 || !strings.Contains(errs.String(), "broken") {
		t.Error(code, errs.String())
	}
	if code := run(s, []string{"--nope"}, &out, &errs); code != 2 {
		t.Error(code)
	}
	if code := run(s, []string{"--help"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "--admin-addr") {
		t.Error(code, out.String())
	}
}

func TestSignals_ADelayedStopIsNotReadyFirst(t *testing.T) {
	ready := NewReadiness()
	ready.Set("kafka", nil)
	ctx, stop := signals(slog.New(slog.DiscardHandler), ready, 200*time.Millisecond)
	defer stop()
	began := time.Now()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for ready.Err() == nil {
		if time.Since(began) > 20*time.Second {
			t.Fatal("still ready")
		}
		runtime.Gosched()
	}
	if ctx.Err() != nil && time.Since(began) < 200*time.Millisecond {
		t.Error("stopped before the delay was over")
	}
	<-ctx.Done()
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("stopped after %v", took)
	}
}
