package interop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

const table = "../../docs/asynq.md"

// exported are the public names of a Go package, as its documentation calls
// them: Type, Type.Method, Type.Field, Func, with the prefix before each.
func exported(t *testing.T, folder, prefix string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds no Go files: %v", folder, err)
	}
	var names []string
	add := func(parts ...string) {
		for _, p := range parts {
			if !ast.IsExported(p) {
				return
			}
		}
		names = append(names, prefix+strings.Join(parts, "."))
	}
	members := func(of string, list *ast.FieldList) {
		for _, field := range list.List {
			for _, name := range field.Names {
				add(of, name.Name)
			}
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name)
					continue
				}
				of := d.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				add(of.(*ast.Ident).Name, d.Name.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						for _, name := range s.Names {
							add(name.Name)
						}
					case *ast.TypeSpec:
						add(s.Name.Name)
						switch of := s.Type.(type) {
						case *ast.StructType:
							members(s.Name.Name, of.Fields)
						case *ast.InterfaceType:
							members(s.Name.Name, of.Methods)
						}
					}
				}
			}
		}
	}
	return names
}

func moduleFolder(t *testing.T, from, module string) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)
	cmd.Dir = from
	out, err := cmd.Output()
	if err != nil || len(out) < 2 {
		t.Fatalf("go list -m %s: %v", module, err)
	}
	return strings.TrimSpace(string(out))
}

// A row of the table: Asynq's names, and the tests that show lunaq's.
type row struct {
	line    int
	names   []string
	tests   []string
	ours    []string // what the second cell quotes
	missing bool
	none    bool // no counterpart, by nature
}

var quoted = regexp.MustCompile("`([^`]+)`")

func words(cell string) []string {
	var out []string
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

func tableRows(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) == 3 && strings.TrimSpace(cells[0]) == "Asynq" &&
			strings.TrimSpace(cells[2]) == "Shown by" {
			inside = true
			continue
		}
		if !inside || strings.HasPrefix(line, "|---") {
			continue
		}
		if len(cells) != 3 {
			t.Errorf("%s:%d: %d cells", table, i+1, len(cells))
			continue
		}
		r := row{line: i + 1, names: words(cells[0]), ours: words(cells[1]),
			tests: words(cells[2])}
		shown, what := strings.TrimSpace(cells[2]), strings.TrimSpace(cells[1])
		r.missing = shown == "missing"
		r.none = shown == "–" && strings.HasPrefix(what, "– ")
		if len(r.names) == 0 || len(r.tests) == 0 && !r.missing && !r.none {
			t.Errorf("%s:%d: a row has names, and tests or \"missing\"", table,
				i+1)
		}
		if strings.Contains(what, "missing") && len(r.tests) == 0 && !r.missing {
			t.Errorf("%s:%d: what is missing is not shown", table, i+1)
		}
		rows = append(rows, r)
	}
	return rows
}

// knownTests are the names of all tests in the tree.
func knownTests(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	patterns := map[string]*regexp.Regexp{
		".go": regexp.MustCompile(`(?m)^func (Test\w+)\(`),
		".c":  regexp.MustCompile(`\b([a-z0-9_]+__[a-z0-9_]+)\b`),
		".h":  regexp.MustCompile(`\b([a-z0-9_]+__[a-z0-9_]+)\b`),
		".sh": regexp.MustCompile(`\b([a-z0-9_]+__[a-z0-9_]+)\b`),
		".py": regexp.MustCompile(`(?m)^\s*def (test_\w+)\(`),
		// Whole programs, which run one suite on several brokers.
		".txt": regexp.MustCompile(`(?m)\b(test_\w+)\b`),
	}
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		pattern := patterns[filepath.Ext(path)]
		if err != nil || pattern == nil {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
			known[m[1]] = true
		}
		return err
	})
	if err != nil || len(known) < 500 {
		t.Fatalf("%d tests were found: %v", len(known), err)
	}
	return known
}

// subtests are the texts that may name a subtest.
func subtests(t *testing.T) string {
	t.Helper()
	files, _ := filepath.Glob("*_test.go")
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// cliNames are the verbs of the tool asynq and their flags.
func cliNames(program string) []string {
	var names []string
	flag := regexp.MustCompile(`(?m)^  (--\w+)`)
	command := regexp.MustCompile(`(?m)^  (\w+):`)
	var ask func(verb []string)
	ask = func(verb []string) {
		out, _ := exec.Command(program, append(verb, "--help")...).Output()
		section := func(title string) string {
			_, rest, _ := strings.Cut(string(out), "\n"+title+"\n")
			rest, _, _ = strings.Cut(rest, "\n\n")
			return rest + "\n"
		}
		name := strings.Join(append([]string{"asynq"}, verb...), " ")
		subs := command.FindAllStringSubmatch(section("COMMANDS"), -1)
		if len(subs) == 0 {
			names = append(names, name)
		}
		for _, m := range flag.FindAllStringSubmatch(section("FLAGS"), -1) {
			if m[1] != "--help" {
				names = append(names, name+" "+m[1])
			}
		}
		for _, m := range subs {
			ask(append(append([]string{}, verb...), m[1]))
		}
	}
	ask(nil)
	return names
}

// declared checks the names of C that a row quotes.
func declared(t *testing.T, r row) {
	t.Helper()
	var headers string
	for _, file := range []string{"lunaq.h", "inspector.h", "server.h"} {
		text, err := os.ReadFile("../../core/include/lunaq/" + file)
		if err != nil {
			t.Fatal(err)
		}
		headers += string(text)
	}
	for _, name := range r.ours {
		if regexp.MustCompile(`^(lunaq|LUNAQ)_[A-Za-z_]+$`).MatchString(name) &&
			!regexp.MustCompile(`\b`+name+`\b`).MatchString(headers) &&
			!strings.HasPrefix(name, "LUNAQ_BROKER") {
			t.Errorf("%s:%d: there is no %s", table, r.line, name)
		}
	}
}

// helped are the verbs of lunaq's own tool that a row speaks of.
func helped(t *testing.T, r row) {
	t.Helper()
	for _, text := range r.ours {
		var verb []string
		for i, word := range strings.Fields(text) {
			if i == 0 && word != "lunaq" ||
				!regexp.MustCompile(`^[a-z]+$`).MatchString(word) {
				break
			}
			verb = append(verb, word)
		}
		if len(verb) < 2 {
			continue
		}
		verb[0] = "help"
		if out, err := exec.Command(os.Getenv("LUNAQ"), verb...).CombinedOutput(); err != nil {
			t.Errorf("%s:%d: lunaq %s: %s", table, r.line, strings.Join(verb, " "),
				out)
		}
	}
}

// The table in docs/asynq.md names every public name of Asynq, and only those;
// and tests that there are.
func TestTableNamesAllOfAsynq(t *testing.T) {
	rows := tableRows(t)
	where := map[string]int{}
	for _, r := range rows {
		for _, name := range r.names {
			if where[name] != 0 {
				t.Errorf("%s: %s is in lines %d and %d", table, name, where[name],
					r.line)
			}
			where[name] = r.line
		}
	}
	var all []string
	all = append(all, exported(t, moduleFolder(t, ".",
		"github.com/hibiken/asynq"), "")...)
	extra := moduleFolder(t, "asynqmon", "github.com/hibiken/asynq/x")
	for _, pkg := range []string{"rate", "metrics"} {
		all = append(all, exported(t, filepath.Join(extra, pkg), pkg+".")...)
	}
	program := os.Getenv("ASYNQ_CLI")
	if program == "" || strings.HasPrefix(program, "SKIP") {
		t.Logf("SKIP verbs and flags of the tool asynq: %s", program)
		for name := range where {
			if strings.HasPrefix(name, "asynq ") {
				delete(where, name)
			}
		}
	} else {
		all = append(all, cliNames(program)...)
	}
	public := map[string]bool{}
	for _, name := range all {
		public[name] = true
		if where[name] == 0 {
			t.Errorf("%s lacks %s", table, name)
		}
	}
	for name, line := range where {
		if !public[name] {
			t.Errorf("%s:%d: Asynq has no %s", table, line, name)
		}
	}

	known, text := knownTests(t), subtests(t)
	shown, missing, none := 0, []string{}, 0
	for _, r := range rows {
		if !r.missing {
			helped(t, r)
			declared(t, r)
		}
		for _, name := range r.tests {
			test, sub, has := strings.Cut(name, "/")
			found := known[test] && (!has || strings.Contains(text, `"`+sub+`"`))
			// Some are named by two parts: "run" + "_of_" + "pending".
			if verb, of, two := strings.Cut(sub, "_of_"); two {
				found = known[test] && strings.Contains(text, `"`+verb+`"`) &&
					strings.Contains(text, `"`+of+`"`)
			}
			if !found {
				t.Errorf("%s:%d: there is no test %s", table, r.line, name)
			}
		}
		switch {
		case r.missing:
			missing = append(missing, r.names...)
		case r.none:
			none += len(r.names)
		default:
			shown += len(r.names)
		}
	}
	sort.Strings(missing)
	t.Logf("%d public names: %d shown by tests, %d without a counterpart, "+
		"%d missing: %s", len(all), shown, none, len(missing),
		strings.Join(missing, ", "))
}
