//go:build e2e

package e2e

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeFunnel writes files of the layout and size of Olist's marketing funnel, the same ones each time. They have what is awkward in
// the published ones: leads without an origin, leads of the day on which clocks in São Paulo were put forward at midnight, deals of no
// value, a deal without a segment, ids that begin with "00".
func writeFunnel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	id := func() string { return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()) }
	day := time.Date(2017, 6, 14, 0, 0, 0, 0, time.UTC)
	origins := []string{"", "unknown", "organic search", "paid search", "social", "direct traffic", "email", "referral", "display", "other"}
	segments := []string{"home decor", "health beauty", "car accessories", "pet", "toys", "watches"}
	pages := []string{id(), id(), id(), id()}

	leads := [][]string{{"mql_id", "first_contact_date", "landing_page_id", "origin"}}
	deals := [][]string{{"mql_id", "seller_id", "sdr_id", "sr_id", "won_date", "business_segment", "lead_type", "lead_behaviour_profile", "has_company",
		"has_gtin", "average_stock", "business_type", "declared_product_catalog_size", "declared_monthly_revenue"}}
	for i := range olistLeads {
		lead, contact := id(), day.AddDate(0, 0, r.IntN(350))
		if i%40 == 0 {
			lead = "00" + lead[2:]
		}
		if i < 7 {
			contact = time.Date(2017, 10, 15, 0, 0, 0, 0, time.UTC)
		}
		leads = append(leads, []string{lead, contact.Format(time.DateOnly), pages[r.IntN(len(pages))], origins[r.IntN(len(origins))]})
		if i >= olistDeals {
			continue
		}
		segment, revenue := segments[r.IntN(len(segments))], "0.0"
		if i == 0 {
			segment = ""
		}
		if i%20 == 0 {
			revenue = fmt.Sprintf("%d.0", 50*(1+r.IntN(2000)))
		}
		won := contact.AddDate(0, 0, 1+r.IntN(60)).Add(time.Duration(8*3600+r.IntN(36000)) * time.Second)
		deals = append(deals, []string{lead, id(), id(), id(), won.Format(time.DateTime), segment, "online medium", "cat", "", "", "", "reseller", "", revenue})
	}
	for name, rows := range map[string][][]string{leadsFile: leads, dealsFile: deals} {
		f, err := os.Create(filepath.Join(dir, name))
		noError(t, err)
		noError(t, csv.NewWriter(f).WriteAll(rows))
		noError(t, f.Close())
	}
	return dir
}
