// Does with the stock Go client what it is told: the counterpart of ../java/Driver.java, with the same lines of JSON on
// stdin and stdout, for what this client can do.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

type request struct {
	Id                int               `json:"id"`
	Op                string            `json:"op"`
	As                string            `json:"as"`
	Of                string            `json:"of"`
	Group             string            `json:"group"`
	Topic             string            `json:"topic"`
	Address           string            `json:"address"`
	Queues            json.RawMessage   `json:"queues"`
	Queue             *queue            `json:"queue"`
	How               string            `json:"how"`
	Messages          []outgoing        `json:"messages"`
	Subscribe         map[string]string `json:"subscribe"`
	Orderly           bool              `json:"orderly"`
	Broadcasting      bool              `json:"broadcasting"`
	Refuse            int32             `json:"refuse"`
	MaxReconsumeTimes *int32            `json:"maxReconsumeTimes"`
	CompressOver      *int              `json:"compressOver"`
	Instance          string            `json:"instance"`
	Offset            int64             `json:"offset"`
	Max               int               `json:"max"`
	TimeoutMs         int64             `json:"timeoutMs"`
	Timestamp         int64             `json:"timestamp"`
}

type queue struct {
	Topic   string `json:"topic"`
	Broker  string `json:"broker"`
	QueueId int    `json:"queueId"`
}

type outgoing struct {
	Topic       string            `json:"topic"`
	Body        string            `json:"body"`
	Repeat      int               `json:"repeat"`
	RandomBytes int               `json:"randomBytes"`
	Tags        string            `json:"tags"`
	Keys        string            `json:"keys"`
	DelayLevel  int               `json:"delayLevel"`
	Properties  map[string]string `json:"properties"`
}

type object map[string]any

var (
	nameServers = strings.Split(os.Getenv("NAMESRV_ADDR"), ";")
	handles     sync.Map
	output      sync.Mutex
	stdout      = bufio.NewWriter(os.Stdout)
	background  = context.Background()
)

func main() {
	rlog.SetLogLevel("error")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			panic(err)
		}
		go answer(r)
	}
}

func answer(r request) {
	result, err := run(r)
	if err != nil {
		emit(object{"id": r.Id, "error": failure(err)})
	} else {
		emit(object{"id": r.Id, "result": result})
	}
}

var codeInText = regexp.MustCompile(`CODE: (\d+)`)

// The client puts a broker's answer into the text of its error.
func failure(err error) object {
	description := object{"type": fmt.Sprintf("%T", err), "message": err.Error()}
	if found := codeInText.FindStringSubmatch(err.Error()); found != nil {
		description["code"], _ = strconv.Atoi(found[1])
	}
	return description
}

func run(r request) (any, error) {
	switch r.Op {
	case "producer":
		return openProducer(r)
	case "send":
		return send(r)
	case "push":
		return openPush(r)
	case "pullConsumer":
		return openPull(r)
	case "pull":
		return pull(r)
	case "poll":
		return poll(r)
	case "updateOffset":
		return updateOffset(r)
	case "fetchOffset":
		return handle[rocketmq.PullConsumer](r).CurrentOffset(toQueue(r.Queue))
	case "searchOffset":
		return handle[rocketmq.PullConsumer](r).OffsetForTimestamp(toQueue(r.Queue), r.Timestamp)
	case "queues":
		return queues(r)
	case "createTopic":
		return createTopic(r)
	case "deleteTopic":
		return withAdmin(func(a admin.Admin) (any, error) {
			return nil, a.DeleteTopic(background, admin.WithTopicDelete(r.Topic), admin.WithBrokerAddrDelete(r.Address),
				admin.WithNameSrvAddr(nameServers))
		})
	case "topics":
		return withAdmin(func(a admin.Admin) (any, error) {
			list, err := a.FetchAllTopicList(background)
			if err != nil {
				return nil, err
			}
			return list.TopicList, nil
		})
	case "close":
		closing, _ := handles.LoadAndDelete(r.Of)
		return nil, closing.(interface{ Shutdown() error }).Shutdown()
	default:
		return nil, errors.New("no such op: " + r.Op)
	}
}

func handle[T any](r request) T {
	found, _ := handles.Load(r.Of)
	return found.(T)
}

// The queue that a message names, else the one for its sharding key, else the next: each chosen by a stock selector.
type selector struct {
	manual, hash, next producer.QueueSelector
}

func (s selector) Select(m *primitive.Message, queues []*primitive.MessageQueue, last string) *primitive.MessageQueue {
	if m.Queue != nil {
		return s.manual.Select(m, queues, last)
	}
	if m.GetShardingKey() != "" {
		return s.hash.Select(m, queues, last)
	}
	return s.next.Select(m, queues, last)
}

func openProducer(r request) (any, error) {
	options := []producer.Option{
		producer.WithNameServer(nameServers),
		producer.WithGroupName(r.Group),
		producer.WithInstanceName(r.As),
		producer.WithRetry(0),
		producer.WithSendMsgTimeout(30 * time.Second),
		producer.WithQueueSelector(selector{
			producer.NewManualQueueSelector(), producer.NewHashQueueSelector(), producer.NewRoundRobinQueueSelector(),
		}),
	}
	if r.CompressOver != nil {
		options = append(options, producer.WithCompressMsgBodyOverHowmuch(*r.CompressOver))
	}
	opened, err := rocketmq.NewProducer(options...)
	if err != nil {
		return nil, err
	}
	handles.Store(r.As, opened)
	return nil, opened.Start()
}

func send(r request) (any, error) {
	p := handle[rocketmq.Producer](r)
	messages := make([]*primitive.Message, len(r.Messages))
	for i, each := range r.Messages {
		messages[i] = toMessage(each)
		if r.How == "queue" {
			messages[i].Queue = toQueue(r.Queue)
		}
		if r.How == "selector" {
			messages[i].WithShardingKey(each.Keys)
		}
	}
	results := make([]any, 0, len(messages))
	switch r.How {
	case "sync", "queue", "selector":
		for _, each := range messages {
			sent, err := p.SendSync(background, each)
			if err != nil {
				return nil, err
			}
			results = append(results, result(sent))
		}
		return results, nil
	case "batch":
		sent, err := p.SendSync(background, messages...)
		if err != nil {
			return nil, err
		}
		return append(results, result(sent)), nil
	case "oneway":
		for _, each := range messages {
			if err := p.SendOneWay(background, each); err != nil {
				return nil, err
			}
		}
		return results, nil
	case "async":
		return sendAsync(p, messages)
	default:
		return nil, errors.New("no such way to send: " + r.How)
	}
}

func sendAsync(p rocketmq.Producer, messages []*primitive.Message) (any, error) {
	results := make([]any, len(messages))
	var open sync.WaitGroup
	open.Add(len(messages))
	for i, each := range messages {
		err := p.SendAsync(background, func(_ context.Context, sent *primitive.SendResult, err error) {
			if err != nil {
				results[i] = failure(err)
			} else {
				results[i] = result(sent)
			}
			open.Done()
		}, each)
		if err != nil {
			return nil, err
		}
	}
	open.Wait()
	return results, nil
}

func openPush(r request) (any, error) {
	options := []consumer.Option{
		consumer.WithNameServer(nameServers),
		consumer.WithGroupName(r.Group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumerOrder(r.Orderly),
		consumer.WithSuspendCurrentQueueTimeMillis(200 * time.Millisecond),
	}
	// Consumers of one process that keep the default name are taken for one.
	instance := r.Instance
	if instance == "" {
		instance = r.As
	}
	options = append(options, consumer.WithInstance(instance))
	if r.Broadcasting {
		options = append(options, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	if r.MaxReconsumeTimes != nil {
		options = append(options, consumer.WithMaxReconsumeTimes(*r.MaxReconsumeTimes))
	}
	opened, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return nil, err
	}
	listener := func(c context.Context, list ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		refused := false
		for _, each := range list {
			event := message(each)
			event["event"], event["of"] = "message", r.As
			emit(event)
			refused = refused || each.ReconsumeTimes < r.Refuse
		}
		if !refused {
			return consumer.ConsumeSuccess, nil
		}
		if r.Orderly {
			return consumer.SuspendCurrentQueueAMoment, nil
		}
		if concurrently, ok := primitive.GetConcurrentlyCtx(c); ok {
			concurrently.DelayLevelWhenNextConsume = 1
		}
		return consumer.ConsumeRetryLater, nil
	}
	for topic, expression := range r.Subscribe {
		if err := opened.Subscribe(topic, tags(expression), listener); err != nil {
			return nil, err
		}
	}
	handles.Store(r.As, opened)
	return nil, opened.Start()
}

func tags(expression string) consumer.MessageSelector {
	return consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
}

// A pull consumer is opened for one topic and expression, and pulls or polls.
func openPull(r request) (any, error) {
	opened, err := rocketmq.NewPullConsumer(
		consumer.WithNameServer(nameServers),
		consumer.WithGroupName(r.Group),
		consumer.WithInstance(r.As),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	if err != nil {
		return nil, err
	}
	for topic, expression := range r.Subscribe {
		if err := opened.Subscribe(topic, tags(expression)); err != nil {
			return nil, err
		}
	}
	handles.Store(r.As, opened)
	return nil, opened.Start()
}

var pullStatus = map[primitive.PullStatus]string{
	primitive.PullFound:         "FOUND",
	primitive.PullNoNewMsg:      "NO_NEW_MSG",
	primitive.PullNoMsgMatched:  "NO_MATCHED_MSG",
	primitive.PullOffsetIllegal: "OFFSET_ILLEGAL",
}

func pull(r request) (any, error) {
	pulled, err := handle[rocketmq.PullConsumer](r).PullFrom(background, toQueue(r.Queue), r.Offset, r.Max)
	if err != nil {
		return nil, err
	}
	return object{
		"status":     pullStatus[pulled.Status],
		"nextOffset": pulled.NextBeginOffset,
		"minOffset":  pulled.MinOffset,
		"maxOffset":  pulled.MaxOffset,
		"messages":   messageList(pulled.GetMessageExts()),
	}, nil
}

// Polls once and acknowledges what came.
func poll(r request) (any, error) {
	c := handle[rocketmq.PullConsumer](r)
	polled, err := c.Poll(background, time.Duration(r.TimeoutMs)*time.Millisecond)
	if consumer.IsNoNewMsgError(err) {
		return []any{}, nil
	}
	if err != nil {
		return nil, err
	}
	c.ACK(background, polled, consumer.ConsumeSuccess)
	return messageList(polled.GetMsgList()), nil
}

func updateOffset(r request) (any, error) {
	c := handle[rocketmq.PullConsumer](r)
	if err := c.UpdateOffset(toQueue(r.Queue), r.Offset); err != nil {
		return nil, err
	}
	return nil, c.PersistOffset(background, r.Queue.Topic)
}

func withAdmin(use func(admin.Admin) (any, error)) (any, error) {
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(nameServers)))
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return use(a)
}

func queues(r request) (any, error) {
	return withAdmin(func(a admin.Admin) (any, error) {
		found, err := a.FetchPublishMessageQueues(background, r.Topic)
		if err != nil {
			return nil, err
		}
		list := make([]queue, len(found))
		for i, each := range found {
			list[i] = queue{each.Topic, each.BrokerName, each.QueueId}
		}
		return list, nil
	})
}

func createTopic(r request) (any, error) {
	count, err := strconv.Atoi(string(r.Queues))
	if err != nil {
		return nil, err
	}
	return withAdmin(func(a admin.Admin) (any, error) {
		return nil, a.CreateTopic(background, admin.WithTopicCreate(r.Topic), admin.WithBrokerAddrCreate(r.Address),
			admin.WithReadQueueNums(count), admin.WithWriteQueueNums(count))
	})
}

func toQueue(q *queue) *primitive.MessageQueue {
	return &primitive.MessageQueue{Topic: q.Topic, BrokerName: q.Broker, QueueId: q.QueueId}
}

func toMessage(o outgoing) *primitive.Message {
	body := []byte(strings.Repeat(o.Body, max(o.Repeat, 1)))
	if o.RandomBytes > 0 {
		body = make([]byte, o.RandomBytes)
		rand.New(rand.NewSource(1)).Read(body)
	}
	m := primitive.NewMessage(o.Topic, body)
	for key, value := range o.Properties {
		m.WithProperty(key, value)
	}
	if o.Tags != "" {
		m.WithTag(o.Tags)
	}
	if o.Keys != "" {
		m.WithKeys(strings.Split(o.Keys, " "))
	}
	if o.DelayLevel > 0 {
		m.WithDelayTimeLevel(o.DelayLevel)
	}
	return m
}

var sendStatus = map[primitive.SendStatus]string{
	primitive.SendOK:                "SEND_OK",
	primitive.SendFlushDiskTimeout:  "FLUSH_DISK_TIMEOUT",
	primitive.SendFlushSlaveTimeout: "FLUSH_SLAVE_TIMEOUT",
	primitive.SendSlaveNotAvailable: "SLAVE_NOT_AVAILABLE",
}

func result(sent *primitive.SendResult) object {
	return object{
		"status":      sendStatus[sent.Status],
		"msgId":       sent.MsgID,
		"offsetMsgId": sent.OffsetMsgID,
		"broker":      sent.MessageQueue.BrokerName,
		"queueId":     sent.MessageQueue.QueueId,
		"queueOffset": sent.QueueOffset,
	}
}

func messageList(list []*primitive.MessageExt) []object {
	messages := make([]object, len(list))
	for i, each := range list {
		messages[i] = message(each)
	}
	return messages
}

func message(m *primitive.MessageExt) object {
	event := object{
		"topic":          m.Topic,
		"queueId":        m.Queue.QueueId,
		"queueOffset":    m.QueueOffset,
		"msgId":          m.MsgId,
		"offsetMsgId":    m.OffsetMsgId,
		"bodyBytes":      len(m.Body),
		"bodyCrc":        crc32.ChecksumIEEE(m.Body),
		"sysFlag":        m.SysFlag,
		"reconsumeTimes": m.ReconsumeTimes,
		"bornTimestamp":  m.BornTimestamp,
		"storeTimestamp": m.StoreTimestamp,
		"storeSize":      m.StoreSize,
		"properties":     m.GetProperties(),
	}
	if m.GetTags() != "" {
		event["tags"] = m.GetTags()
	}
	if m.GetKeys() != "" {
		event["keys"] = m.GetKeys()
	}
	if len(m.Body) <= 1_000 {
		event["body"] = string(m.Body)
	}
	return event
}

func emit(line object) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	output.Lock()
	defer output.Unlock()
	stdout.Write(text)
	stdout.WriteByte('\n')
	stdout.Flush()
}
