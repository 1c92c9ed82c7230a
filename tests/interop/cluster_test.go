package interop

import (
	"context"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// A Redis Cluster of three masters on ports of the loopback.
type cluster struct {
	*world
	addrs []string
	opt   asynq.RedisClusterClientOpt
	redis *redis.ClusterClient
}

// portPair is a port that is free, as is that of the cluster's bus.
func portPair(t *testing.T) int {
	t.Helper()
	for try := 0; try < 100; try++ {
		port := 20000 + rand.Intn(12000)
		a, errA := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		b, errB := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+10000))
		if errA == nil {
			a.Close()
		}
		if errB == nil {
			b.Close()
		}
		if errA == nil && errB == nil {
			return port
		}
	}
	t.Fatal("no two free ports")
	return 0
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("no redis-cli in PATH")
	}
	c := &cluster{world: newWorld(t)}
	for i := 0; i < 3; i++ {
		port := portPair(t)
		dir := filepath.Join(c.dir, fmt.Sprint(port))
		c.ok(os.Mkdir(dir, 0o755))
		c.start("redis", nil, "redis-server", "--port", fmt.Sprint(port),
			"--bind", "127.0.0.1", "--cluster-enabled", "yes", "--save", "",
			"--appendonly", "no", "--dir", dir)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		c.addrs = append(c.addrs, addr)
		c.until("the node answers", func() bool {
			r := redis.NewClient(&redis.Options{Addr: addr})
			defer r.Close()
			return r.Ping(context.Background()).Err() == nil
		})
	}
	args := append([]string{"--cluster", "create"}, c.addrs...)
	out, err := exec.Command("redis-cli", append(args,
		"--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	c.opt = asynq.RedisClusterClientOpt{Addrs: c.addrs}
	c.redis = redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs})
	t.Cleanup(func() { c.redis.Close() })
	c.until("the cluster is whole", func() bool {
		info, err := c.redis.ClusterInfo(context.Background()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	return c
}

func (c *cluster) url() string {
	return "redis-cluster://" + strings.Join(c.addrs, ",")
}

// Clients, servers and tools of both on one Redis Cluster.
func TestBothOnACluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	client, inspector := asynq.NewClient(c.opt), asynq.NewInspector(c.opt)
	defer client.Close()
	defer inspector.Close()
	broker := []string{"--broker", c.url()}
	const queues, each = 6, 20
	var served []string
	inGo := map[string]int{}
	for q := 0; q < queues; q++ {
		name := fmt.Sprintf("q%d", q)
		if q%2 == 0 {
			served = append(served, name+"=1")
		} else {
			inGo[name] = 1
		}
		for i := 0; i < each; i++ {
			if i%2 == 0 {
				_, err := client.Enqueue(asynq.NewTask("interop:ok", nil),
					asynq.Queue(name), asynq.Retention(time.Hour))
				c.ok(err)
			} else {
				c.lunaq(append(broker, "enqueue", "interop:ok", "--queue", name,
					"--retention", "1h")...)
			}
		}
	}
	handlers, err := filepath.Abs("handlers")
	c.ok(err)
	c.start("lunaqd", c.env("LUNAQ_QUEUES="+strings.Join(served, ","),
		"LUNAQ_BROKER="+c.url()), os.Getenv("LUNAQD"), "--handlers", handlers,
		"--shutdown-timeout", "1s")
	server := asynq.NewServer(c.opt, asynq.Config{Concurrency: 4, Queues: inGo,
		LogLevel: asynq.FatalLevel, TaskCheckInterval: 200 * time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(likeLua)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)

	nodes := map[string]bool{}
	for q := 0; q < queues; q++ {
		name := fmt.Sprintf("q%d", q)
		c.until(name+" is worked off", func() bool {
			info, err := inspector.GetQueueInfo(name)
			return err == nil && info.Completed == each &&
				info.ProcessedTotal == each && info.FailedTotal == 0
		})
		slot, err := inspector.ClusterKeySlot(name)
		c.ok(err)
		want, err := c.redis.ClusterKeySlot(context.Background(),
			"asynq:{"+name+"}:pending").Result()
		if err != nil || slot != want {
			t.Errorf("%s: slot %d, wanted %d, %v", name, slot, want, err)
		}
		where, err := inspector.ClusterNodes(name)
		if err != nil || len(where) == 0 {
			t.Errorf("%s: nodes %v, %v", name, where, err)
		}
		place, _ := c.lunaqJSON(append(broker, "queue", "place",
			name)...).(map[string]any)
		ours, _ := place["nodes"].([]any)
		if place["slot"] != float64(want) || len(ours) != len(where) {
			t.Errorf("%s: lunaq says %v; slot %d, nodes %v", name, place, want,
				where)
		}
		for i, node := range where {
			nodes[node.Addr] = true
			if our, _ := ours[i].(map[string]any); our["addr"] != node.Addr ||
				our["id"] != node.ID || our["master"] != (i == 0) {
				t.Errorf("%s: lunaq says %v, Asynq %+v", name, our, node)
			}
		}
	}
	if len(nodes) < 2 {
		t.Errorf("all queues are on one node: %v", nodes)
	}
	rows := c.rows(append(broker, "queue", "ls")...)
	if len(rows) != queues {
		t.Errorf("lunaq lists %v", rows)
	}
	for _, row := range rows {
		if row["completed"] != float64(each) {
			t.Errorf("lunaq counts %v", row)
		}
	}
	c.lunaq(append(broker, "fsck")...)

	t.Run("tool", func(t *testing.T) {
		program := tool(t, "ASYNQ_CLI")
		for verb, text := range map[string]string{"queue list": "q5",
			"stats": "OK", "server list": "q0:1"} {
			args := append(strings.Fields(verb), "--cluster", "--cluster_addrs",
				strings.Join(c.addrs, ","))
			cmd := exec.Command(program, args...)
			cmd.Env = []string{"HOME=" + c.dir, "NO_COLOR=1"}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), text) {
				t.Errorf("asynq %v: %v\n%s", args, err, out)
			}
		}
	})
}
