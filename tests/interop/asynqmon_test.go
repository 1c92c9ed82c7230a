package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Asynqmon on one world.
type dashboard struct {
	*full
	url        string
	prometheus string
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func newDashboard(t *testing.T) *dashboard {
	t.Helper()
	program := tool(t, "ASYNQMON")
	d := &dashboard{full: newFullWorld(t)}
	d.check()
	d.prometheus = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	var out lockedBuffer
	cmd := exec.Command(program, "--redis", d.opt.Addr, "--prometheus",
		"http://"+d.prometheus)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &out, d.env()
	d.ok(cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("Asynqmon said:\n%s", out.String())
		}
	})
	d.until("Asynqmon listens", func() bool {
		line, _, whole := strings.Cut(out.String(), "\n")
		d.url = line
		return whole
	})
	return d
}

// ask speaks to Asynqmon's HTTP API as its pages do.
func (d *dashboard) ask(method, path string, body, into any) {
	d.t.Helper()
	text, err := json.Marshal(body)
	d.ok(err)
	request, err := http.NewRequest(method, d.url+"/api"+path,
		bytes.NewReader(text))
	d.ok(err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	d.ok(err)
	if response.StatusCode/100 != 2 {
		d.t.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			d.t.Errorf("%s %s: %v: %s", method, path, err, answer)
		}
	}
}

// agree compares Asynqmon's numbers of every queue with lunaq's.
func (d *dashboard) agree(after string) {
	d.t.Helper()
	var list struct{ Queues []map[string]any }
	d.ask("GET", "/queues", nil, &list)
	ours := d.counts()
	if len(list.Queues) != len(ours)-1 {
		d.t.Errorf("%s: Asynqmon shows %d queues, lunaq %d", after,
			len(list.Queues), len(ours)-1)
	}
	numbers := map[string]string{"processed": "processed_today",
		"failed": "failed_today", "groups": "groups"}
	for _, state := range states {
		numbers[state] = state
	}
	for _, q := range list.Queues {
		name := q["queue"].(string)
		for theirs, our := range numbers {
			if got := q[theirs]; got != float64(ours[name][our]) {
				d.t.Errorf("%s: %s: %s: Asynqmon %v, lunaq %d", after, name,
					theirs, got, ours[name][our])
			}
		}
		if q["paused"] != (ours[name]["paused"] == 1) {
			d.t.Errorf("%s: %s: paused: Asynqmon %v", after, name, q["paused"])
		}
	}
}

func (d *dashboard) listed(path string) string {
	d.t.Helper()
	var list struct{ Tasks []struct{ ID string } }
	d.ask("GET", path, nil, &list)
	var ids []string
	for _, task := range list.Tasks {
		ids = append(ids, task.ID)
	}
	return " " + strings.Join(ids, " ") + " "
}

// What the pages ask of Asynqmon's server, and what their buttons do.
func TestAsynqmonsServerOnLunaqsTasks(t *testing.T) {
	t.Parallel()
	d := newDashboard(t)
	d.agree("at first")
	const queue = "/queues/" + fullQueue
	for state, ids := range d.ids {
		paths := map[string][]string{queue + "/" + state + "_tasks": ids}
		if state == "aggregating" {
			paths = map[string][]string{}
			for group, ids := range d.groups {
				paths[queue+"/groups/"+group+"/aggregating_tasks"] = ids
			}
		}
		for path, ids := range paths {
			listed := d.listed(path)
			for _, id := range ids {
				if !strings.Contains(listed, " "+id+" ") {
					t.Errorf("%s lacks %s: %s", path, id, listed)
				}
			}
		}
		var one map[string]any
		d.ask("GET", queue+"/tasks/"+ids[0], nil, &one)
		if one["id"] != ids[0] || one["state"] != state ||
			!strings.HasPrefix(one["payload"].(string), "{") {
			t.Errorf("the task %s is shown as %v", ids[0], one)
		}
	}
	var days struct {
		Stats map[string][]struct{ Processed, Failed float64 }
	}
	d.ask("GET", "/queue_stats", nil, &days)
	history := d.rows("queue", "history", fullQueue)
	if got := days.Stats[fullQueue]; len(got) == 0 ||
		got[0].Processed != history[0]["processed"] ||
		got[0].Failed != history[0]["failed"] {
		t.Errorf("days %v, lunaq's %v", got, history[0])
	}
	var servers struct {
		Servers []struct {
			Status        string
			Concurrency   int
			Queues        map[string]int `json:"queue_priorities"`
			ActiveWorkers []struct {
				ID string `json:"task_id"`
			} `json:"active_workers"`
		}
	}
	d.until("every running task has its worker", func() bool {
		d.ask("GET", "/servers", nil, &servers)
		return len(servers.Servers) == 1 &&
			len(servers.Servers[0].ActiveWorkers) == len(d.ids["active"])
	})
	if s := servers.Servers[0]; s.Status != "active" || s.Concurrency != 7 ||
		s.Queues[fullQueue] != 3 {
		t.Errorf("the server is shown as %+v", s)
	}
	var entries struct{ Entries []map[string]any }
	d.ask("GET", "/scheduler_entries", nil, &entries)
	if len(entries.Entries) != 2 {
		t.Errorf("entries %v", entries)
	}
	var events struct {
		Events []struct {
			ID string `json:"task_id"`
		}
	}
	d.ask("GET", "/scheduler_entries/"+url.PathEscape(d.entry)+
		"/enqueue_events", nil, &events)
	if len(events.Events) != 1 ||
		events.Events[0].ID != d.taskIDs("ticks", "pending")[0] {
		t.Errorf("events %v", events)
	}
	var info struct{ Info map[string]string }
	d.ask("GET", "/redis_info", nil, &info)
	if info.Info["redis_version"] == "" {
		t.Errorf("Redis: %v", info)
	}

	id := func(state string) string {
		one := d.ids[state][0]
		d.ids[state] = d.ids[state][1:]
		return one
	}
	place := func(state string) string {
		if state == "aggregating" {
			return queue + "/groups/letters/aggregating_tasks"
		}
		return queue + "/" + state + "_tasks"
	}
	move := func(method, path string, body any, from, to string, n int) {
		t.Helper()
		before := d.counts()[fullQueue]
		d.ask(method, path, body, nil)
		after := d.counts()[fullQueue]
		for _, state := range states {
			want := before[state]
			if state == from {
				want -= n
			}
			if state == to {
				want += n
			}
			if after[state] != want {
				t.Errorf("%s %s: lunaq counts %d %s, wanted %d", method, path,
					after[state], state, want)
			}
		}
		d.agree(method + " " + path)
	}
	type ids struct {
		IDs []string `json:"task_ids"`
	}
	for _, state := range []string{"scheduled", "retry", "archived",
		"aggregating"} {
		move("POST", place(state)+"/"+id(state)+":run", nil, state, "pending", 1)
		move("POST", place(state)+":batch_run", ids{[]string{id(state)}}, state,
			"pending", 1)
	}
	d.add("aggregating", "ok", 7, "--group", "letters")
	d.add("aggregating", "ok", 8, "--group", "letters")
	d.ids["aggregating"] = []string{"aggregating7-of-lunaq",
		"aggregating8-of-lunaq"}
	for _, state := range []string{"scheduled", "pending", "aggregating"} {
		move("POST", place(state)+"/"+id(state)+":archive", nil, state,
			"archived", 1)
		move("POST", place(state)+":batch_archive", ids{[]string{id(state)}},
			state, "archived", 1)
	}
	for _, state := range []string{"scheduled", "pending", "completed",
		"archived"} {
		move("DELETE", place(state)+"/"+id(state), nil, state, "", 1)
		move("POST", place(state)+":batch_delete", ids{[]string{id(state)}},
			state, "", 1)
	}
	all := func(method, state, verb, to string) {
		t.Helper()
		from := place(state)
		n := d.counts()[fullQueue][state]
		if state == "aggregating" {
			from = queue + "/groups/bills/aggregating_tasks"
			n = len(strings.Fields(d.listed(from)))
		}
		if n == 0 {
			t.Errorf("%s of %s has nothing to do", verb, state)
		}
		move(method, from+":"+verb, nil, state, to, n)
	}
	all("POST", "aggregating", "archive_all", "archived")
	all("POST", "archived", "run_all", "pending")
	all("POST", "scheduled", "archive_all", "archived")
	all("POST", "retry", "run_all", "pending")
	all("DELETE", "archived", "delete_all", "")
	all("POST", "pending", "archive_all", "archived")
	all("DELETE", "completed", "delete_all", "")
	cancelled := id("active")
	d.ask("POST", place("active")+"/"+cancelled+":cancel", nil, nil)
	d.settled(fullQueue, cancelled, stateNamed(t, "retry"))
	d.agree("after a cancel")
	d.ask("POST", queue+":resume", nil, nil)
	d.ask("POST", "/queues/side:pause", nil, nil)
	d.agree("after a pause and a resume")
	d.ask("POST", place("active")+":cancel_all", nil, nil)
	for _, one := range d.ids["active"] {
		d.settled(fullQueue, one, stateNamed(t, "retry"))
	}
	d.agree("after all were cancelled")
	d.lunaq("task", "delete", "--all", "--queue", "side", "--state", "pending")
	d.lunaq("task", "delete", "--all", "--queue", "side", "--state",
		"scheduled")
	// Removed while paused, it would stay paused: Asynq forgets that key.
	d.ask("POST", "/queues/side:resume", nil, nil)
	d.ask("DELETE", "/queues/side", nil, nil)
	d.agree("after a queue was removed")
	if _, there := d.counts()["side"]; there {
		t.Error("lunaq still lists a queue that Asynqmon removed")
	}
	d.lunaq("fsck")
}

// short is the part of an id that Asynqmon shows in its tables.
func short(ids []string) []string {
	var out []string
	for _, id := range ids {
		before, _, _ := strings.Cut(id, "-")
		out = append(out, before)
	}
	return out
}

// shownOf is what Asynqmon's page of a task must say; the fixture has seen to it
// that Asynq's inspector says of it what was asked for.
func (d *dashboard) shownOf(state, id string) []string {
	d.t.Helper()
	info, err := d.inspector.GetTaskInfo(fullQueue, id)
	if err != nil {
		d.t.Fatal(err)
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	texts := []string{"ID: " + id, fmt.Sprintf(
		"Type: %s State: %s Queue: %s Retry: %d/%d", info.Type, state, fullQueue,
		info.Retried, info.MaxRetry), `Payload: { "n": 0 }`}
	switch state {
	case "scheduled":
		texts = append(texts, "Next Process Time: "+at(info.NextProcessAt),
			"Timeout: 90 seconds Deadline: "+at(d.deadline))
	case "retry":
		texts = append(texts, "Next Process Time: "+at(info.NextProcessAt),
			"not today, säge ✓", "("+at(info.LastFailedAt)+")")
	case "archived":
		texts = append(texts,
			"Last Failure: never again ("+at(info.LastFailedAt)+")")
	case "completed":
		texts = append(texts, "("+at(info.CompletedAt)+")",
			`Result: { "got": 0 }`)
	}
	return texts
}

// A browser visits every page of Asynqmon and finds lunaq's tasks.
func TestAsynqmonsPagesShowLunaqsTasks(t *testing.T) {
	t.Parallel()
	program := tool(t, "BROWSER")
	d := newDashboard(t)
	b := d.browse(program)
	count := func(state string) string { return fmt.Sprint(len(d.ids[state])) }
	size := 0
	for _, ids := range d.ids {
		size += len(ids)
	}
	// The fixture has seen to it that Asynq counts what was done.
	info, err := d.inspector.GetQueueInfo(fullQueue)
	if err != nil {
		t.Fatal(err)
	}
	ended := fmt.Sprintf("%d %d %.2f %%", info.ProcessedTotal, info.FailedTotal,
		100*float64(info.FailedTotal)/float64(info.ProcessedTotal))
	b.shows("/", "Queues", fmt.Sprintf("%s paused %d", fullQueue, size), ended,
		"side run 2", "ticks run 1")
	for _, state := range states {
		texts := short(d.ids[state])
		if state == "aggregating" {
			texts = nil // no group is chosen yet
		}
		texts = append(texts, "Active "+count("active"), "Pending "+
			count("pending"), "Aggregating "+count("aggregating"),
			"Scheduled "+count("scheduled"), "Retry "+count("retry"),
			"Archived "+count("archived"), "Completed "+count("completed"),
			fmt.Sprintf("Queue size %d Task groups %d", size, len(d.groups)))
		b.shows("/queues/"+fullQueue+"?status="+state, texts...)
	}
	for group, ids := range d.groups {
		b.open("/queues/" + fullQueue + "?status=aggregating")
		b.choose("Select group", group)
		b.until("the group "+group+" is shown", short(ids)...)
	}
	for state, ids := range d.ids {
		b.shows("/queues/"+fullQueue+"/tasks/"+ids[0], d.shownOf(state,
			ids[0])...)
	}
	b.shows("/servers", "active "+fullQueue+" "+count("active")+"/7")
	b.shows("/schedulers", "@every 1s", "often", "tick",
		"seldom", "0 4 * * mon")
	b.eval(`[...document.querySelectorAll("tr")].filter(r =>
		r.innerText.includes("@every 1s")).forEach(r =>
			r.querySelector("button").click())`)
	b.until("the history of an entry", d.taskIDs("ticks", "pending")[0])
	b.shows("/redis", "Redis Info", "Version", "Uptime")
	b.shows("/settings", "Settings", "Polling Interval")

	t.Run("metrics", func(t *testing.T) {
		defer func(old *testing.T) { d.world.t = old }(d.world.t)
		d.world.t = t
		prometheus := tool(t, "PROMETHEUS")
		config := filepath.Join(d.dir, "prometheus.yml")
		d.ok(os.WriteFile(config, []byte(fmt.Sprintf(`
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: asynq
    static_configs: [{ targets: ["%s"] }]
`, strings.TrimPrefix(d.url, "http://"))), 0o644))
		d.start("prometheus", d.env(), prometheus, "--config.file="+config,
			"--storage.tsdb.path="+filepath.Join(d.dir, "tsdb"),
			"--web.listen-address="+d.prometheus)
		want := fmt.Sprintf(`"queue":"%s","state":"archived"}`, fullQueue)
		d.until("Prometheus has read what the exporter says", func() bool {
			response, err := http.Get(d.url + "/api/metrics?duration=60")
			if err != nil {
				return false
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			_, after, found := strings.Cut(string(body), want)
			return err == nil && found && strings.Contains(after,
				fmt.Sprintf(`,"%s"]`, count("archived")))
		})
		b.shows("/q/metrics", "Queue Size", "Queue Latency",
			"Tasks Processed", "Pending Tasks", "Archived Tasks",
			fullQueue+"sideticks") // the legend of each chart
	})
}
