package expr

import (
	"errors"
	"strings"
	"testing"
)

// spent is what one evaluation costs, whatever it comes to.
func spent(t *testing.T, text string, claims map[string]any) uint64 {
	t.Helper()
	r, err := NewAppraisal(text, groups)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b := NewBudget(PerAppraisal)
	if _, err := r.Decide(Input{kiosk, warned, claims, noon}, b); err != nil && !errors.Is(err, ErrSpent) {
		t.Fatalf("%s: %v", text, err)
	}
	return b.Spent()
}

// What one evaluation has spent is gone for the next, of whatever text it is.
func TestBudgetIsShared(t *testing.T) {
	texts := []string{`device.labels["site"] == "hall-3"`, `group("edge")`, `device.name.matches("^kio")`}
	whole := NewBudget(PerAppraisal)
	var sum uint64
	for _, text := range texts {
		s, err := NewSelector(text, groups)
		if err != nil {
			t.Fatal(err)
		}
		alone := NewBudget(PerAppraisal)
		for _, b := range []*Budget{alone, whole} {
			if ok, err := s.Matches(kiosk, b); !ok || err != nil {
				t.Errorf("%s: %t, %v", text, ok, err)
			}
		}
		if sum += alone.Spent(); alone.Spent() == 0 || whole.Spent() != sum {
			t.Errorf("%s: %d alone, %d in all, want %d", text, alone.Spent(), whole.Spent(), sum)
		}
		for units := range alone.Spent() {
			b := NewBudget(units)
			if _, err := s.Matches(kiosk, b); !errors.Is(err, ErrSpent) || !errors.Is(err, ErrEvaluate) || b.Limit() != units {
				t.Errorf("%s with %d units: %v", text, units, err)
			}
			if _, err := s.Matches(kiosk, b); !errors.Is(err, ErrSpent) {
				t.Errorf("%s with a budget that is used up: %v", text, err)
			}
		}
		if ok, err := s.Matches(kiosk, NewBudget(alone.Spent())); !ok || err != nil {
			t.Errorf("%s with just what it costs: %t, %v", text, ok, err)
		}
	}
}

// A call costs what it goes over.
func TestPrices(t *testing.T) {
	row := make([]any, 30)
	for i := range row {
		row[i] = float64(i)
	}
	rows := make([]any, 100)
	for i := range rows {
		rows[i] = row
	}
	said := map[string]any{
		"row": row, "rows": rows, "copy": append([]any(nil), rows...), "one": []any{1.0}, "map": map[string]any{"x": rows},
		"short": strings.Repeat("a", 10), "long": strings.Repeat("a", 1000), "far": strings.Repeat("a", 30_000), "texts": []any{"x", "y", "z"},
		"deep": []any{[]any{[]any{[]any{[]any{[]any{[]any{1.0}}}}}}},
	}
	for _, test := range []struct {
		text     string
		from, to uint64
	}{
		{`claims.one == claims.one`, 5, 20},
		{`claims.rows == claims.copy`, 6_000, 7_000},
		{`claims.rows != claims.map.x`, 6_000, 7_000},
		{`claims.rows == 1`, 1, 10},
		{`claims.deep == claims.deep`, 15, 50},
		{`1 in claims.row`, 30, 50},
		{`!(claims.one in claims.rows)`, 3_000, 3_500},
		{`claims.rows in [claims.copy]`, 3_000, 3_500},
		{`!(claims.far in claims.texts)`, 3_000 + 3*30_000/compareUnit, 4_000},
		{`"x" in claims.map`, 1, 10},
		{`claims.short.matches("^a+$")`, 1, 20},
		{`claims.long.matches("^a+$")`, 500, 1_500},
		{`!claims.long.matches("(a|aa|aaa|aaaa){1,9}b")`, 10_000, PerAppraisal},
		{`(claims.rows + claims.rows).size() == 200`, 200, 220},
		{`(claims.long + claims.long).size() == 2000`, 400, 450},
		{`claims.far.contains("ab") || true`, 3_000, 3_100},
		{`claims.far.size() == 30000`, 3_000, 3_100},
		// A loop costs each round, and does not pay for its own list again and again.
		{`claims.rows.filter(x, false) == []`, 100, 250},
		{`claims.rows.filter(x, true).size() == 100`, 1_000, 2_000},
		{`!claims.rows.exists_one(x, false)`, 100, 250},
	} {
		if got := spent(t, test.text, said); got < test.from || got > test.to {
			t.Errorf("%s: %d units, want %d to %d", test.text, got, test.from, test.to)
		}
	}
}

// However a text multiplies the work, by loops in loops whose predicates are free, by lists
// that are joined, by patterns: the budget ends it. A fault of it is a test that does not end.
func TestHostileTexts(t *testing.T) {
	many := func(n int, text, operator string) string {
		return strings.TrimSuffix(strings.Repeat(text+operator, n), operator)
	}
	items, texts := make([]any, 8_000), make([]any, 8_000)
	for i := range items {
		items[i], texts[i] = []any{float64(i)}, "aaaaaaaaaaaaaaaa"
	}
	said := map[string]any{"k": items, "s": texts, "t": strings.Repeat("a", MaxMatched)}
	joined := "(" + many(50, "claims.k", " + ") + ")"
	for _, text := range []string{
		`claims.k.exists_one(x, claims.k.exists_one(y, false))`,
		`claims.k.filter(x, claims.k.filter(y, false).size() > 0).size() > 0`,
		many(15, `claims.k.filter(x, false).size() == 0`, " && "),
		joined + " == " + joined,
		"!('z' in " + joined + ")",
		many(90, `!([0] in claims.k)`, " || "),
		many(30, `!claims.t.matches("(a|aa|aaa|aaaa){1,9}b")`, " && "),
		many(20, `claims.s.all(x, !x.matches("b"))`, " && "),
	} {
		r, err := NewAppraisal(text, nil)
		if err != nil {
			t.Errorf("%.80s: %v", text, err)
			continue
		}
		if d, err := r.Decide(Input{kiosk, warned, said, noon}, NewBudget(PerAppraisal)); !errors.Is(err, ErrSpent) {
			t.Errorf("%.80s: %+v, %v", text, d, err)
		}
	}
}

// Regular expressions are few, those of groups included, wherever they are written.
func TestPatternsCount(t *testing.T) {
	some := func(n int) string {
		return strings.TrimSuffix(strings.Repeat(`device.name.matches("x") || `, n), " || ")
	}
	named := map[string]string{"half": some(maxPatterns / 2), "all": some(maxPatterns), "more": some(maxPatterns + 1)}
	for _, text := range []string{some(maxPatterns), `group("all")`, `group("half") || group("half")`, `group("half") || ` + some(maxPatterns/2)} {
		if _, err := NewSelector(text, named); err != nil {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	for _, text := range []string{some(maxPatterns + 1), `group("more")`, `group("all") || device.name.matches("y")`, `matches(device.name, "y") || group("all")`} {
		var fault *Error
		if _, err := NewSelector(text, named); !errors.As(err, &fault) || !strings.Contains(err.Error(), "more than 32 regular expressions") {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}
