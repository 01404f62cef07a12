package calendar

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration_ReadsISO8601AndStringGivesItBack(t *testing.T) {
	for _, c := range []struct {
		text, canonical string
		want            Duration
	}{
		{"PT15M", "PT15M", Duration{Elapsed: 15 * time.Minute}},
		{"P7D", "P7D", Duration{Days: 7}},
		{"P1Y2M3W4DT5H6M7S", "P1Y2M25DT5H6M7S", Duration{14, 25, 5*time.Hour + 6*time.Minute + 7*time.Second}},
		{"P2W", "P14D", Duration{Days: 14}},
		{"P1M", "P1M", Duration{Months: 1}},
		{"PT1M", "PT1M", Duration{Elapsed: time.Minute}},
		{"P1MT1M", "P1MT1M", Duration{Months: 1, Elapsed: time.Minute}},
		{"PT90M", "PT1H30M", Duration{Elapsed: 90 * time.Minute}},
		{"PT24H", "PT24H", Duration{Elapsed: 24 * time.Hour}}, // not P1D: 24 hours elapse
		{"PT0.5S", "PT0.5S", Duration{Elapsed: 500 * time.Millisecond}},
		{"PT61.000000001S", "PT1M1.000000001S", Duration{Elapsed: time.Minute + time.Second + 1}},
		{"PT0S", "PT0S", Duration{}},
		{"P0D", "PT0S", Duration{}},
		{"P05D", "P5D", Duration{Days: 5}},
		{"P100Y", "P100Y", Duration{Months: MaxMonths}},
		{"P36525D", "P36525D", Duration{Days: MaxDays}},
		{"PT876600H", "PT876600H", Duration{Elapsed: MaxElapsed}},
	} {
		got, err := ParseDuration(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s is %+v, %v; want %+v", c.text, got, err, c.want)
			continue
		}
		if s := got.String(); s != c.canonical {
			t.Errorf("%s is written %s, want %s", c.text, s, c.canonical)
		}
		if again, err := ParseDuration(got.String()); err != nil || again != got {
			t.Errorf("%s is written %s, which is %+v, %v", c.text, got, again, err)
		}
	}
}

func TestParseDuration_SaysWhatIsWrongAndWhatToWrite(t *testing.T) {
	for text, says := range map[string]string{
		"":                                  "is empty; write for example PT15M",
		"15m":                               "does not begin with P",
		"15":                                "does not begin with P",
		" PT15M":                            "does not begin with P",
		"pt15m":                             "write PT15M",
		"PT15m":                             "small letters",
		"P":                                 "names no length",
		"PT":                                "nothing after its T",
		"P1DT":                              "nothing after its T",
		"PTT1M":                             "second T",
		"PT1HT1M":                           "second T",
		"-P1D":                              "sign",
		"P-1D":                              "sign",
		"P+1D":                              "sign",
		"P1":                                "no unit after 1",
		"PD":                                `no number before "D"`,
		"P1DD":                              `no number before "D"`,
		"P1D1D":                             "names D twice",
		"PT1M1M":                            "names M twice",
		"P1D1W":                             "wrong place",
		"PT1S1H":                            "wrong place",
		"P1H":                               "follow a T, as in PT15M",
		"P15S":                              "follow a T, as in PT15M",
		"PT1D":                              "come before it",
		"PT1W":                              "come before it",
		"P1X":                               `unit "X"`,
		"P1\xff":                            "unit",
		"P1.5D":                             "only seconds have a fraction",
		"PT1.5M":                            "only seconds have a fraction",
		"PT1.5M1S":                          "only seconds have a fraction",
		"PT1,5S":                            "with a point",
		"PT1.S":                             "only seconds have a fraction",
		"PT1.0000000001S":                   "at most nine digits",
		"P1.5S":                             "only seconds have a fraction",
		"PT1S ":                             "no number before",
		"P101Y":                             "longer than a hundred years",
		"P100Y1M":                           "longer than a hundred years",
		"P36526D":                           "longer than a hundred years",
		"P5217W6D":                          "", // a hundred years to the day
		"P5217W7D":                          "longer than a hundred years",
		"PT876600H0.1S":                     "longer than a hundred years",
		"PT999999999H":                      "longer than a hundred years",
		"PT876600H60M":                      "longer than a hundred years",
		"PT9999999999S":                     "more than 9 digits",
		"P99999999999999999999D":            "more than 9 digits",
		"P٣D":                               "no number before",
		"P" + strings.Repeat("0", 64) + "D": "has 66 bytes",
	} {
		_, err := ParseDuration(text)
		switch {
		case says == "":
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
		case err == nil || !strings.Contains(err.Error(), says):
			t.Errorf("%q: %v, which does not say %q", text, err, says)
		}
	}
}

func TestDurationString_ShowsWhatParseDurationCannotGive(t *testing.T) {
	for want, d := range map[string]Duration{
		"P-1D":                          {Days: -1},
		"P-1Y-2MT-1H-30M":               {Months: -14, Elapsed: -90 * time.Minute},
		"P1DT-0.5S":                     {Days: 1, Elapsed: -500 * time.Millisecond},
		"PT-2562047H-47M-16.854775808S": {Elapsed: -1 << 63},
	} {
		if got := d.String(); got != want {
			t.Errorf("%#v is written %s, want %s", d, got, want)
		}
	}
	if !(Duration{}).IsZero() || (Duration{Elapsed: 1}).IsZero() || (Duration{Months: 1, Days: -30}).IsZero() {
		t.Error("IsZero is wrong")
	}
}
