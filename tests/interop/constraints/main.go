// Command constraints prints what Masterminds/semver, the library that Helm uses, says of versions and
// constraints, one JSON object a line. The strings are those of the module's own test tables, read from the
// module cache when the program runs; every constraint meets every version. The unit test
// `agrees_with_helms_library` of src/chart/version.rs compares our port with the output:
//
//	go run . > table.jsonl
//	HELM_SIGSTORE_CONSTRAINT_TABLE=$PWD/table.jsonl cargo test --lib agrees_with_helms_library
//
// With -mutations N, each string is also tried in N variations with a few characters changed (-seed S).
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

const module = "github.com/Masterminds/semver/v3"

// A row of the table: about a version, about a pair of versions, or about a constraint and a version.
type row struct {
	Constraint *string `json:"constraint,omitempty"`
	Version    *string `json:"version,omitempty"`
	Other      *string `json:"other,omitempty"`
	// Whether the constraint, or the version by the lenient rules, is valid.
	Valid bool `json:"valid"`
	// Whether the version is valid by the strict rules.
	Strict bool `json:"strict"`
	// The version in full, if valid.
	Normal string `json:"normal,omitempty"`
	// Whether the version satisfies the constraint.
	Check bool `json:"check"`
	// -1, 0 or 1: the precedence of version and other.
	Compare int `json:"compare"`
}

func main() {
	mutations := flag.Int("mutations", 0, "variations of each string")
	seed := flag.Int64("seed", 1, "seed of the variations")
	flag.Parse()
	if err := run(*mutations, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "constraints:", err)
		os.Exit(1)
	}
}

func run(mutations int, seed int64) error {
	directory, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("finding %s: %w", module, err)
	}
	texts := map[string]bool{}
	for _, name := range []string{"constraints_test.go", "version_test.go"} {
		if err := collect(filepath.Join(strings.TrimSpace(string(directory)), name), texts); err != nil {
			return err
		}
	}
	sorted := make([]string, 0, len(texts))
	for text := range texts {
		sorted = append(sorted, text)
	}
	sort.Strings(sorted)
	random := rand.New(rand.NewSource(seed))
	for _, text := range sorted[:len(sorted):len(sorted)] {
		for range mutations {
			sorted = append(sorted, mutate(random, text))
		}
	}

	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	if err := write(encoder, sorted); err != nil {
		return err
	}
	return out.Flush()
}

// collect adds the string literals of the composite literals (the tables) in a Go file.
func collect(path string, texts map[string]bool) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(node ast.Node) bool {
		table, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, element := range table.Elts {
			literal, ok := element.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				continue
			}
			if text, err := strconv.Unquote(literal.Value); err == nil {
				texts[text] = true
			}
		}
		return true
	})
	return nil
}

func mutate(random *rand.Rand, text string) string {
	const common = "0123456789.-+xX*v^~<>=!|, \t"
	bytes := []byte(text)
	for range 1 + random.Intn(3) {
		at := random.Intn(len(bytes) + 1)
		c := common[random.Intn(len(common))]
		switch {
		case at < len(bytes) && random.Intn(3) == 0:
			bytes[at] = c
		case at < len(bytes) && random.Intn(3) == 0:
			bytes = append(bytes[:at], bytes[at+1:]...)
		default:
			bytes = append(bytes[:at], append([]byte{c}, bytes[at:]...)...)
		}
	}
	return strings.ToValidUTF8(string(bytes), "?")
}

func write(encoder *json.Encoder, texts []string) error {
	var versions []*semver.Version
	for _, text := range texts {
		version, err := semver.NewVersion(text)
		_, strict := semver.StrictNewVersion(text)
		out := row{Version: &text, Valid: err == nil, Strict: strict == nil}
		if err == nil {
			out.Normal = version.String()
			versions = append(versions, version)
		}
		if err := encoder.Encode(out); err != nil {
			return err
		}
	}
	// Enough pairs to see every rule; all of them would be a square of the variations.
	for i, version := range versions {
		for step := 1; step < len(versions); step = 1 + step*3/2 {
			other := versions[(i+step)%len(versions)]
			a, b := version.Original(), other.Original()
			out := row{Version: &a, Other: &b, Valid: true, Compare: version.Compare(other)}
			if err := encoder.Encode(out); err != nil {
				return err
			}
		}
	}
	for i, text := range texts {
		constraint, err := semver.NewConstraint(text)
		if err != nil {
			if err := encoder.Encode(row{Constraint: &text}); err != nil {
				return err
			}
			continue
		}
		step := 1 + len(versions)/1000
		for v := i % step; v < len(versions); v += step {
			version := versions[v].Original()
			out := row{Constraint: &text, Version: &version, Valid: true, Check: constraint.Check(versions[v])}
			if err := encoder.Encode(out); err != nil {
				return err
			}
		}
	}
	return nil
}
