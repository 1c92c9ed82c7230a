package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
)

// A program of Asynq's: its path, or a skip that says why there is none.
func tool(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" || strings.HasPrefix(path, "SKIP") {
		t.Skipf("%s %s", variable, path)
	}
	return path
}

// asynqCLI is the tool asynq on one world, and the verbs it was asked.
type asynqCLI struct {
	*full
	program string
	asked   map[string]bool
}

func (c *asynqCLI) run(args ...string) (string, error) {
	c.t.Helper()
	verb := args[0]
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		verb += " " + args[1]
	}
	c.asked[verb] = true
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program, append(args, "--uri",
		c.opt.Addr)...)
	cmd.Env, cmd.Dir = []string{"HOME=" + c.dir, "NO_COLOR=1"}, c.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// say runs it, wants it to succeed and its output to hold all of the texts.
func (c *asynqCLI) say(args []string, texts ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil || strings.Contains(out, "error:") {
		c.t.Errorf("asynq %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			c.t.Errorf("asynq %s does not say %q:\n%s", strings.Join(args, " "),
				text, out)
		}
	}
	return out
}

func argv(line string) []string { return strings.Fields(line) }

// agree compares the numbers of both tools, queue by queue.
func (c *asynqCLI) agree() {
	c.t.Helper()
	var stats struct {
		Aggregate map[string]any
		Queues    []map[string]any
	}
	out := c.say(argv("stats --json"))
	if err := json.Unmarshal([]byte(out), &stats); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	ours := c.counts()
	if len(stats.Queues) != len(ours)-1 {
		c.t.Errorf("asynq shows %d queues, lunaq %d", len(stats.Queues),
			len(ours)-1)
	}
	numbers := map[string]string{"processed": "processed_today",
		"failed": "failed_today"}
	for _, state := range states {
		numbers[state] = state
	}
	for theirs, our := range numbers {
		if got := stats.Aggregate[theirs]; got != float64(ours[""][our]) {
			c.t.Errorf("all: %s: asynq %v, lunaq %d", theirs, got, ours[""][our])
		}
	}
	numbers["processedTotal"], numbers["failedTotal"] = "processed_total",
		"failed_total"
	numbers["groups"] = "groups"
	for _, q := range stats.Queues {
		name := fmt.Sprint(q["Queue"])
		for theirs, our := range numbers {
			// Fields without a JSON name have that of Go.
			theirs = strings.ToUpper(theirs[:1]) + theirs[1:]
			if got := q[theirs]; got != float64(ours[name][our]) {
				c.t.Errorf("%s: %s: asynq %v, lunaq %d", name, theirs, got,
					ours[name][our])
			}
		}
		if q["Paused"] != (ours[name]["paused"] == 1) {
			c.t.Errorf("%s: paused: asynq %v", name, q["Paused"])
		}
	}
}

// shown compares lunaq's own listings of queues with its stats.
func (c *asynqCLI) shown() {
	c.t.Helper()
	for name, want := range c.counts() {
		if name == "" {
			continue
		}
		show, _ := c.lunaqJSON("queue", "show", name).(map[string]any)
		for verb, row := range map[string]map[string]any{"show": show,
			"ls": c.queueRow(name)} {
			for what, n := range want {
				// What grows by itself, and what is a sample.
				if what == "latency_ms" || what == "memory_bytes" {
					continue
				}
				got := row[what]
				if what == "paused" && got == true {
					got = 1.0
				}
				if got != float64(n) {
					c.t.Errorf("lunaq queue %s %s: %s is %v, wanted %d", verb, name,
						what, got, n)
				}
			}
		}
	}
}

// verbs are all that the tool knows, as its help prints them.
func (c *asynqCLI) verbs() []string {
	c.t.Helper()
	list := func(args ...string) []string {
		out, _ := exec.Command(c.program, append(args, "--help")...).Output()
		_, rest, _ := strings.Cut(string(out), "COMMANDS\n")
		rest, _, _ = strings.Cut(rest, "\n\n")
		var names []string
		for _, m := range regexp.MustCompile(`(?m)^  (\w+):`).FindAllStringSubmatch(
			rest, -1) {
			names = append(names, m[1])
		}
		return names
	}
	var all []string
	for _, name := range list() {
		if sub := list(name); len(sub) > 0 {
			for _, s := range sub {
				all = append(all, name+" "+s)
			}
		} else {
			all = append(all, name)
		}
	}
	return all
}

// Asynq's own command line tool on what lunaq made and worked: every verb it
// has answers, and its numbers are lunaq's.
func TestAsynqsCLIOnLunaqsTasks(t *testing.T) {
	t.Parallel()
	program := tool(t, "ASYNQ_CLI")
	c := &asynqCLI{full: newFullWorld(t), program: program,
		asked: map[string]bool{}}
	c.check()
	c.agree()
	c.shown()

	c.say(argv("queue list"), "full", "side", "ticks")
	c.say(argv("queue inspect full side"), "Name:   full", "Paused: true",
		"Groups: 2", "Name:   side", "Paused: false")
	today := time.Now().UTC().Format("2006-01-02")
	history := c.rows("queue", "history", fullQueue)
	out := c.say(argv("queue history full --days 2"), today)
	if day := history[0]; !regexp.MustCompile(fmt.Sprintf(`%v +%v +%v +`,
		day["day"], day["processed"], day["failed"])).MatchString(out) {
		t.Errorf("lunaq's history begins %v, Asynq's is\n%s", day, out)
	}
	for _, state := range states {
		args := argv("task list --queue full --state " + state)
		if state == "aggregating" {
			for group, ids := range c.groups {
				c.say(append(args, "--group", group), ids...)
			}
			continue
		}
		c.say(args, c.ids[state]...)
		page := c.say(append(args, "--page", "2", "--size", "1"))
		seen := 0
		for _, id := range c.ids[state] {
			if strings.Contains(page, id+" ") {
				seen++
			}
		}
		if seen != 1 {
			t.Errorf("the second page of one %s task shows %d", state, seen)
		}
	}
	for state, ids := range c.ids {
		c.say(argv("task inspect --queue full --id "+ids[0]), ids[0],
			"State:   "+state)
	}
	c.say(argv("task inspect --queue full --id "+c.ids["retry"][0]),
		"not today, säge ✓", "Retried: 1/25")
	c.say(argv("task list --queue full --state completed"), `{"got":0}`)
	c.until("the server shows what runs", func() bool {
		out, _ := c.run("server", "ls")
		return strings.Contains(out, fmt.Sprintf("%d/7", len(c.ids["active"])))
	})
	c.say(argv("server list"), "full:3", "active")
	c.say(argv("cron list"), "@every 1s", "0 4 * * mon", `{"tick":1}`,
		`Queue("ticks")`, "often", "seldom", "N/A")
	c.say([]string{"cron", "history", c.entry}, "TaskID", c.taskIDs("ticks",
		"pending")[0])
	c.say(argv("group list --queue full"), "letters", "bills")

	// Every way of changing a task, and both still agree.
	type change struct {
		line     string
		from, to string // states; "" is gone, or new
		n        int
	}
	move := func(m change, texts ...string) {
		t.Helper()
		before := c.counts()[fullQueue]
		c.say(argv(m.line), texts...)
		after := c.counts()[fullQueue]
		for _, state := range states {
			want := before[state]
			if state == m.from {
				want -= m.n
			}
			if state == m.to {
				want += m.n
			}
			if after[state] != want {
				t.Errorf("asynq %s: lunaq counts %d %s, wanted %d", m.line,
					after[state], state, want)
			}
		}
		c.agree()
	}
	id := func(state string) string {
		one := c.ids[state][0]
		c.ids[state] = c.ids[state][1:]
		return " --queue full --id " + one
	}
	for _, state := range []string{"scheduled", "retry", "archived",
		"completed", "aggregating"} {
		move(change{"task run" + id(state), state, "pending", 1})
	}
	for _, state := range []string{"scheduled", "retry", "pending", "completed",
		"aggregating"} {
		move(change{"task archive" + id(state), state, "archived", 1})
	}
	for _, state := range []string{"scheduled", "retry", "pending", "completed",
		"archived", "aggregating"} {
		move(change{"task delete" + id(state), state, "", 1})
	}
	move(change{"task enqueue --type_name ok --payload {} --queue full " +
		"--id by-asynq --retry 4 --timeout 90s --retention 1h --unique 1h " +
		"--process_in 1h", "", "scheduled", 1})
	row, _ := c.lunaqJSON("task", "show", "by-asynq").(map[string]any)
	if row["max_retry"] != 4.0 || row["timeout_ms"] != 90000.0 ||
		row["retention_ms"] != 3600000.0 {
		t.Errorf("lunaq reads %v", row)
	}
	for _, all := range []change{
		{"runall", "scheduled", "pending", 0},
		{"runall", "retry", "pending", 0},
		{"archiveall", "aggregating", "archived", 2},
		{"runall", "archived", "pending", 0},
		{"deleteall", "completed", "", 0},
		{"archiveall", "pending", "archived", 0},
		{"deleteall", "archived", "", 0},
	} {
		all.line = "task " + all.line + " --queue full --state " + all.from
		if all.from == "aggregating" {
			all.line += " --group bills"
		}
		if n := c.counts()[fullQueue][all.from]; all.n == 0 {
			all.n = n
		}
		move(all)
	}
	cancelled := c.ids["active"][0]
	c.say([]string{"task", "cancel", cancelled}, cancelled)
	c.settled(fullQueue, cancelled, stateNamed(t, "retry"))
	c.agree()
	c.say(argv("queue resume full"), "Successfully unpaused")
	if c.counts()[fullQueue]["paused"] != 0 {
		t.Error("lunaq still sees a paused queue")
	}
	c.say(argv("queue pause side"), "Successfully paused")
	if c.counts()["side"]["paused"] != 1 {
		t.Error("lunaq does not see that a queue is paused")
	}
	if out, _ := c.run("queue", "remove", "side"); !strings.Contains(out,
		"not empty") {
		t.Errorf("a full queue was removed: %s", out)
	}
	// Removed while paused, it would stay paused: Asynq forgets that key.
	c.say(argv("queue resume side"))
	c.say(argv("queue remove side --force"), "Successfully removed")
	if _, there := c.counts()["side"]; there {
		t.Error("lunaq still lists a queue that Asynq removed")
	}
	c.dash()
	c.lunaq("fsck")

	verbs := c.verbs()
	if len(verbs) < 20 {
		t.Errorf("the tool's help shows only %v", verbs)
	}
	for _, verb := range verbs {
		if !c.asked[verb] {
			t.Errorf("the test forgets the verb %q", verb)
		}
	}
	sort.Strings(verbs)
	t.Logf("%d verbs answered: %s", len(verbs), strings.Join(verbs, ", "))
}

// dash wants a terminal: script(1) gives it one.
func (c *asynqCLI) dash() {
	c.t.Helper()
	c.asked["dash"] = true
	terminal, err := exec.LookPath("script")
	if err != nil {
		c.t.Logf("SKIP asynq dash: no script(1) in PATH")
		return
	}
	var out lockedBuffer
	cmd := exec.Command(terminal, "-qec", c.program+" dash --uri "+c.opt.Addr,
		"/dev/null")
	cmd.Env = []string{"HOME=" + c.dir, "TERM=xterm", "PATH=" +
		os.Getenv("PATH"), "SHELL=/bin/sh", "COLUMNS=120", "LINES=40"}
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	c.ok(err)
	c.ok(cmd.Start())
	c.until("the dashboard shows the queues", func() bool {
		text := out.String()
		return strings.Contains(text, "full") && strings.Contains(text, "ticks")
	})
	in.Write([]byte("q"))
	timer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
	if err := cmd.Wait(); err != nil {
		c.t.Errorf("asynq dash ended with %v:\n%q", err, out.String())
	}
	timer.Stop()
}
