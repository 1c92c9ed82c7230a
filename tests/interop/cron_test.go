package interop

import (
	"bufio"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

// A cronNext answers with lunaq's instants under dst = "robfig".
type cronNext struct {
	t   *testing.T
	in  *bufio.Writer
	out *bufio.Scanner
}

func newCronNext(t *testing.T) *cronNext {
	t.Helper()
	program := os.Getenv("CRON_NEXT")
	if program == "" {
		t.Skip("CRON_NEXT does not name the program cron_next")
	}
	cmd := exec.Command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &cronNext{t, bufio.NewWriter(in), bufio.NewScanner(out)}
}

func (c *cronNext) ask(zone, spec string, after int64, count int) string {
	fmt.Fprintf(c.in, "%s\t%s\t%d\t%d\n", zone, spec, after, count)
	c.in.Flush()
	if !c.out.Scan() {
		c.t.Fatalf("no answer to %s %q", zone, spec)
	}
	return c.out.Text()
}

var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month |
	cron.Dow | cron.Descriptor)

// robfig answers the same with robfig/cron, which Asynq's scheduler uses.
func robfig(loc *time.Location, spec string, after int64, count int) string {
	schedule, err := cronParser.Parse(spec)
	if err != nil {
		return "! " + err.Error()
	}
	at := time.Unix(after, 0).In(loc)
	var all []string
	for ; count > 0; count-- {
		at = schedule.Next(at)
		if at.IsZero() {
			all = append(all, "0")
			break
		}
		all = append(all, fmt.Sprint(at.Unix()))
	}
	return strings.Join(all, " ")
}

func zoneNames(t *testing.T) []string {
	const folder = "/usr/share/zoneinfo"
	var names []string
	filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		name := strings.TrimPrefix(path, folder+"/")
		if strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix/") {
			return nil
		}
		loc, err := time.LoadLocation(name)
		if err == nil && strings.Contains(name, "/") && !leavesOutADay(loc) {
			names = append(names, name)
		}
		return nil
	})
	if len(names) < 300 {
		t.Skipf("only %d time zones here: install tzdata", len(names))
	}
	return names
}

// leavesOutADay: there robfig's search may not end.
func leavesOutADay(loc *time.Location) bool {
	at := time.Unix(0, 0)
	for at.Year() < 2040 {
		_, end := at.In(loc).ZoneBounds()
		if end.IsZero() {
			break
		}
		_, before := end.Add(-time.Second).In(loc).Zone()
		if _, after := end.In(loc).Zone(); after-before >= 20*3600 {
			return true
		}
		at = end
	}
	return false
}

// changes are the instants in a span of years when a zone's offset changes.
func changes(loc *time.Location, from, to int) []int64 {
	var all []int64
	at := time.Date(from, 1, 1, 0, 0, 0, 0, time.UTC)
	for at.Year() < to && len(all) < 40 {
		_, end := at.In(loc).ZoneBounds()
		if end.IsZero() {
			break
		}
		all = append(all, end.Unix())
		at = end
	}
	return all
}

func TestCronRobfig__everyZoneAroundItsChanges__theSameInstants(t *testing.T) {
	c := newCronNext(t)
	specs := []string{
		"30 2 * * *", "0 0 * * *", "15,45 0-3 * * *", "*/20 * * * *", "0 */2 * * *",
		"0 0 1 * *", "30 0 * * sun", "59 23 * * *", "0 0 13 * fri", "5 1 */2 */3 *",
	}
	checks := 0
	for _, name := range zoneNames(t) {
		loc, _ := time.LoadLocation(name)
		for _, change := range changes(loc, 1990, 2040) {
			for i := 0; i < 3; i++ {
				spec := specs[(checks+i)%len(specs)]
				after := change - int64(2+i*11)*3600 - int64(i)
				got, want := c.ask(name, spec, after, 5), robfig(loc, spec, after, 5)
				if got != want {
					t.Fatalf("%s %q after %s (%d):\n%s, robfig has\n%s", name, spec,
						time.Unix(after, 0).In(loc), after, got, want)
				}
				checks++
			}
		}
	}
	t.Logf("%d walks over a change", checks)
}

// field is a random one, as people write them and as they do not.
func field(r *rand.Rand, min, max int) string {
	n := func() int { return min + r.Intn(max-min+1) }
	switch r.Intn(8) {
	case 0, 1, 2:
		return "*"
	case 3:
		return fmt.Sprintf("*/%d", 1+r.Intn(max))
	case 4:
		return fmt.Sprintf("%d/%d", n(), 1+r.Intn(max))
	case 5:
		return fmt.Sprintf("%d-%d", n(), n()) // often refused, by both
	case 6:
		return fmt.Sprintf("%d,%d", n(), n())
	}
	return fmt.Sprint(n())
}

func TestCronRobfig__randomSpecsZonesAndInstants__theSame(t *testing.T) {
	c := newCronNext(t)
	names := zoneNames(t)
	r := rand.New(rand.NewSource(17))
	refused := 0
	for i := 0; i < 15000; i++ {
		name := names[r.Intn(len(names))]
		loc, _ := time.LoadLocation(name)
		spec := strings.Join([]string{field(r, 0, 59), field(r, 0, 23), field(r, 1, 31),
			field(r, 1, 12), field(r, 0, 6)}, " ")
		after := int64(r.Intn(4102444800)) // to 2100
		got, want := c.ask(name, spec, after, 4), robfig(loc, spec, after, 4)
		if strings.HasPrefix(got, "!") && strings.HasPrefix(want, "!") {
			refused++
			continue
		}
		if got != want {
			t.Fatalf("%s %q after %s (%d):\n%s, robfig has\n%s", name, spec,
				time.Unix(after, 0).In(loc), after, got, want)
		}
	}
	t.Logf("%d of 15000 specs are refused by both", refused)
}
