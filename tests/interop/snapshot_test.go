package interop

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"
)

// What one place in Redis holds: a text, and a number that may differ a
// little, since it is a distance in seconds from now.
type cell struct {
	text string
	near float64
}

// A snapshot is all that Redis holds of one queue: key → cell, and
// key[member] → cell.
type snapshot map[string]cell

// How much later one of two snapshots may have been taken; and how much later
// one of two keys with an end may have been written, since lunaq's janitor
// looks every 8 s only.
const slack, endSlack = 4.0, 12.0

func (s snapshot) since(place string, seconds, now float64) {
	s[place] = cell{"instant", seconds - now}
}

var messageStrings = map[protowire.Number]string{
	1: "type", 2: "payload", 3: "id", 4: "queue", 7: "error_msg",
	10: "unique_key", 14: "group_key", 15: "header",
}

var messageNumbers = map[protowire.Number]string{
	5: "retry", 6: "retried", 8: "timeout", 9: "deadline",
	11: "last_failed_at", 12: "retention", 13: "completed_at",
}

// message adds the fields of a TaskMessage.
func (s snapshot) message(place string, b []byte, now float64) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			s[place] = cell{text: "not a message"}
			return
		}
		b = b[n:]
		switch {
		case kind == protowire.BytesType && messageStrings[number] != "":
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				s[place] = cell{text: "not a message"}
				return
			}
			name := place + "." + messageStrings[number]
			if number == 7 {
				s[name] = cell{text: "some text"} // each words it its own way
			} else if number == 15 {
				s[name+hex.EncodeToString(v)] = cell{}
			} else {
				s[name] = cell{text: string(v)}
			}
			b = b[n:]
		case kind == protowire.VarintType && messageNumbers[number] != "":
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				s[place] = cell{text: "not a message"}
				return
			}
			name := place + "." + messageNumbers[number]
			if number == 11 || number == 13 {
				s.since(name, float64(v), now)
			} else {
				s[name] = cell{text: strconv.FormatUint(v, 10)}
			}
			b = b[n:]
		default:
			s[place] = cell{text: fmt.Sprintf("unknown field %d", number)}
			return
		}
	}
}

func (s snapshot) hash(key string, fields map[string]string, now float64) {
	for name, value := range fields {
		place := key + "[" + name + "]"
		switch {
		case strings.HasPrefix(name, "lunaq_"):
		case name == "msg":
			s.message(place, []byte(value), now)
		case name == "pending_since":
			ns, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				s[place] = cell{text: value}
			} else {
				s.since(place, float64(ns)/1e9, now)
			}
		default:
			s[place] = cell{text: value}
		}
	}
}

// zset adds members, and says which scores Asynq's readers cannot parse.
func (s snapshot) zset(key string, members []redis.Z, now float64) {
	for _, z := range members {
		place := fmt.Sprintf("%s[%v]", key, z.Member)
		if whole := math.Floor(z.Score); z.Score != whole &&
			!strings.HasSuffix(key, ":lease") {
			s[place] = cell{text: "a broken score"}
		} else if strings.HasSuffix(key, ":retry") {
			// The delay is drawn: 15 to 44 s after the first failure.
			in := math.Floor(z.Score - now + 0.5)
			s[place] = cell{text: fmt.Sprintf("in 15 to 45 s: %v",
				in >= 15-slack && in <= 45)}
		} else {
			s.since(place, whole, now)
		}
	}
}

// snapshotOf reads what Asynq's keys hold of a queue.
func (w *world) snapshotOf(queue string) snapshot {
	w.t.Helper()
	ctx := context.Background()
	s := snapshot{}
	check := func(err error) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	member, err := w.redis.SIsMember(ctx, "asynq:queues", queue).Result()
	check(err)
	s["asynq:queues"] = cell{text: fmt.Sprint(member)}
	keys, err := w.redis.Keys(ctx, "asynq:{"+queue+"}:*").Result()
	check(err)
	now := float64(time.Now().UnixNano()) / 1e9
	for _, key := range keys {
		kind, err := w.redis.Type(ctx, key).Result()
		check(err)
		ttl, err := w.redis.PTTL(ctx, key).Result()
		check(err)
		s[key] = cell{text: kind, near: -1}
		if ttl > 0 {
			s[key] = cell{kind + " with an end", ttl.Seconds()}
		}
		switch kind {
		case "string":
			value, err := w.redis.Get(ctx, key).Result()
			check(err)
			if seconds, err := strconv.ParseFloat(value, 64); err == nil &&
				strings.HasSuffix(key, ":paused") {
				s.since(key+"[value]", seconds, now)
			} else {
				s[key+"[value]"] = cell{text: value}
			}
		case "list":
			ids, err := w.redis.LRange(ctx, key, 0, -1).Result()
			check(err)
			s[key+"[all]"] = cell{text: strings.Join(ids, " ")}
		case "set":
			members, err := w.redis.SMembers(ctx, key).Result()
			check(err)
			sort.Strings(members)
			s[key+"[all]"] = cell{text: strings.Join(members, " ")}
		case "zset":
			members, err := w.redis.ZRangeWithScores(ctx, key, 0, -1).Result()
			check(err)
			s.zset(key, members, now)
		case "hash":
			fields, err := w.redis.HGetAll(ctx, key).Result()
			check(err)
			s.hash(key, fields, now)
		}
	}
	return s
}

// numbers adds what Asynq's inspector says of the queue.
func (w *world) numbers(queue string, s snapshot) {
	w.t.Helper()
	info, err := w.inspector.GetQueueInfo(queue)
	if err != nil {
		w.t.Errorf("Asynq's inspector cannot describe %s: %v", queue, err)
		return
	}
	if info.MemoryUsage < 0 || info.MemoryUsage > 1<<20 {
		w.t.Errorf("memory usage %d", info.MemoryUsage)
	}
	latency := info.Latency.Seconds()
	info.MemoryUsage, info.Latency, info.Timestamp = 0, 0, time.Time{}
	s["info"] = cell{fmt.Sprintf("%+v", *info), latency}
	groups, err := w.inspector.Groups(queue)
	if err != nil {
		w.t.Errorf("groups: %v", err)
	}
	for _, g := range groups {
		s["group "+g.Group] = cell{text: fmt.Sprint(g.Size)}
	}
	days, err := w.inspector.History(queue, 2)
	if err != nil {
		w.t.Errorf("history: %v", err)
	}
	for i, d := range days {
		s[fmt.Sprintf("history %d", i)] =
			cell{text: fmt.Sprint(d.Processed, d.Failed)}
	}
}

// same reports every place where ours is not as theirs.
func same(t *testing.T, ours, theirs snapshot) {
	t.Helper()
	places := map[string]bool{}
	for p := range ours {
		places[p] = true
	}
	for p := range theirs {
		places[p] = true
	}
	var all []string
	for p := range places {
		all = append(all, p)
	}
	sort.Strings(all)
	for _, p := range all {
		a, there := ours[p]
		b, expected := theirs[p]
		limit := slack
		if strings.HasSuffix(a.text, "with an end") {
			limit = endSlack
		}
		if !there || !expected || a.text != b.text ||
			math.Abs(a.near-b.near) > limit {
			t.Errorf("%s\n  lunaq: %v %+v\n  Asynq: %v %+v", p, there, a,
				expected, b)
		}
	}
}
