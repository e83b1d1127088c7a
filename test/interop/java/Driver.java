import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONArray;
import com.alibaba.fastjson.JSONObject;
import com.alibaba.fastjson.serializer.SerializerFeature;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.MQAdmin;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * Does with the stock Java client what it is told: one JSON object a line comes in on stdin ({"id": 1, "op": "send",
 * ...}), one goes out on stdout for each answer ({"id": 1, "result": ...} or {"id": 1, "error": ...}) and for each
 * event ({"event": "message", "of": "consumer", ...}). The tests' judgement is all on the other side. It compiles
 * against 4.9.8 and 5.5.0 alike, which moved some classes between packages; hence no import of those.
 */
public class Driver {
  private static final PrintStream OUT = System.out;
  /** Whose output a thread prints: set where an example's main is started, inherited by all threads under it. */
  private static final InheritableThreadLocal<String> RUNNING = new InheritableThreadLocal<>();
  private static final LineEvents PRINTED = new LineEvents();
  private static final Map<String, Object> HANDLES = new ConcurrentHashMap<>();
  private static DefaultMQAdminExt admin;

  public static void main(String[] args) throws Exception {
    System.setOut(new PrintStream(PRINTED, true, "UTF-8"));
    System.setErr(new PrintStream(PRINTED, true, "UTF-8"));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JSONObject request = JSON.parseObject(line);
      new Thread(() -> answer(request), "op-" + request.getString("op")).start();
    }
    Runtime.getRuntime().halt(0);
  }

  private static void answer(JSONObject request) {
    JSONObject reply = new JSONObject(true);
    reply.put("id", request.get("id"));
    try {
      reply.put("result", run(request));
    } catch (Throwable thrown) {
      reply.put("error", error(thrown instanceof InvocationTargetException ? thrown.getCause() : thrown));
    }
    emit(reply);
  }

  private static JSONObject error(Throwable thrown) {
    JSONObject error = new JSONObject(true);
    error.put("type", thrown.getClass().getSimpleName());
    error.put("message", String.valueOf(thrown.getMessage()));
    if (thrown instanceof MQBrokerException) {
      error.put("code", ((MQBrokerException) thrown).getResponseCode());
      error.put("remark", ((MQBrokerException) thrown).getErrorMessage());
    } else if (thrown instanceof MQClientException) {
      error.put("code", ((MQClientException) thrown).getResponseCode());
      // The client gives up with an exception of its own after its retries; the broker's answer is the cause.
      if (thrown.getCause() instanceof MQBrokerException) {
        error.put("code", ((MQBrokerException) thrown.getCause()).getResponseCode());
        error.put("remark", ((MQBrokerException) thrown.getCause()).getErrorMessage());
      }
    }
    return error;
  }

  private static Object run(JSONObject r) throws Exception {
    switch (r.getString("op")) {
      case "main": return runMain(r);
      case "producer": return producer(r);
      case "send": return send(r);
      case "push": return push(r);
      case "lite": return lite(r);
      case "pullConsumer": return pullConsumer(r);
      case "close": return close(HANDLES.remove(r.getString("of")));
      case "queues": return queues(r);
      case "minOffset": return mqAdmin(r).minOffset(queue(r));
      case "maxOffset": return mqAdmin(r).maxOffset(queue(r));
      case "searchOffset": return mqAdmin(r).searchOffset(queue(r), r.getLongValue("timestamp"));
      case "assign": return assign(r);
      case "seek": return seek(r);
      case "poll": return messages(lite(r.getString("of")).poll(r.getLongValue("timeoutMs")));
      case "commit": lite(r.getString("of")).commitSync(); return null;
      case "committed": return lite(r.getString("of")).committed(queue(r));
      case "pull": return pull(r);
      case "updateOffset": return updateOffset(r);
      case "fetchOffset": return ((DefaultMQPullConsumer) handle(r)).fetchConsumeOffset(queue(r), true);
      case "createTopic": return createTopic(r);
      case "resetOffset": return resetOffset(r);
      case "queryByKey": return queryByKey(r);
      case "viewMessage": return message(producer(r.getString("of")).viewMessage(r.getString("topic"), r.getString("msgId")));
      default: throw new IllegalArgumentException("no such op: " + r.getString("op"));
    }
  }

  /** Runs a class's main as the java command would; what it and its threads print comes as events. */
  private static Object runMain(JSONObject r) throws Exception {
    RUNNING.set(r.getString("as"));
    String[] args = r.containsKey("args") ? r.getJSONArray("args").toArray(new String[0]) : new String[0];
    try {
      Class.forName(r.getString("class")).getMethod("main", String[].class).invoke(null, (Object) args);
    } finally {
      PRINTED.endLine();
    }
    return null;
  }

  private static Object producer(JSONObject r) throws Exception {
    DefaultMQProducer producer = new DefaultMQProducer(r.getString("group"));
    configure(producer, r);
    if (r.containsKey("maxMessageSize")) producer.setMaxMessageSize(r.getIntValue("maxMessageSize"));
    if (r.containsKey("compressOver")) producer.setCompressMsgBodyOverHowmuch(r.getIntValue("compressOver"));
    producer.setRetryTimesWhenSendFailed(r.getIntValue("retries"));
    producer.setSendMsgTimeout(30_000);
    HANDLES.put(r.getString("as"), producer);
    producer.start();
    return null;
  }

  private static Object send(JSONObject r) throws Exception {
    DefaultMQProducer producer = producer(r.getString("of"));
    List<Message> messages = new ArrayList<>();
    for (Object each : r.getJSONArray("messages")) messages.add(toMessage((JSONObject) each));
    JSONArray results = new JSONArray();
    switch (r.getString("how")) {
      case "sync":
        for (Message message : messages) results.add(result(producer.send(message)));
        return results;
      case "queue":
        for (Message message : messages) results.add(result(producer.send(message, queue(r))));
        return results;
      case "selector":
        for (Message message : messages) {
          results.add(result(producer.send(message,
              (queues, sent, key) -> queues.get(Math.floorMod(key.hashCode(), queues.size())), message.getKeys())));
        }
        return results;
      case "batch":
        results.add(result(producer.send(messages)));
        return results;
      case "oneway":
        for (Message message : messages) producer.sendOneway(message);
        return results;
      case "async":
        return sendAsync(producer, messages);
      default:
        throw new IllegalArgumentException("no such way to send: " + r.getString("how"));
    }
  }

  private static Object sendAsync(DefaultMQProducer producer, List<Message> messages) throws Exception {
    Object[] results = new Object[messages.size()];
    CountDownLatch open = new CountDownLatch(messages.size());
    for (int i = 0; i < results.length; i++) {
      int at = i;
      producer.send(messages.get(i), new SendCallback() {
        @Override public void onSuccess(SendResult sendResult) {
          results[at] = result(sendResult);
          open.countDown();
        }

        @Override public void onException(Throwable thrown) {
          results[at] = error(thrown);
          open.countDown();
        }
      });
    }
    if (!open.await(60, TimeUnit.SECONDS)) throw new IllegalStateException(open.getCount() + " callbacks are missing");
    return results;
  }

  private static Object push(JSONObject r) throws Exception {
    String name = r.getString("as");
    DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(r.getString("group"));
    configure(consumer, r);
    consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
    consumer.setConsumeThreadMin(4);
    consumer.setConsumeThreadMax(4);
    if (r.getBooleanValue("broadcasting")) {
      for (var model : consumer.getMessageModel().getDeclaringClass().getEnumConstants()) {
        if (model.name().equals("BROADCASTING")) consumer.setMessageModel(model);
      }
    }
    if (r.containsKey("maxReconsumeTimes")) consumer.setMaxReconsumeTimes(r.getIntValue("maxReconsumeTimes"));
    for (Map.Entry<String, Object> each : r.getJSONObject("subscribe").entrySet()) {
      consumer.subscribe(each.getKey(), (String) each.getValue());
    }
    if (r.containsKey("sql")) {
      for (Map.Entry<String, Object> each : r.getJSONObject("sql").entrySet()) {
        consumer.subscribe(each.getKey(), MessageSelector.bySql((String) each.getValue()));
      }
    }
    // Messages delivered fewer than so many times before are refused.
    int refusals = r.getIntValue("refuse");
    if (r.getBooleanValue("orderly")) {
      consumer.setSuspendCurrentQueueTimeMillis(200);
      consumer.registerMessageListener((MessageListenerOrderly) (list, context) -> {
        boolean refused = false;
        for (MessageExt each : list) {
          delivered(name, each);
          refused |= each.getReconsumeTimes() < refusals;
        }
        return refused ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
      });
    } else {
      consumer.registerMessageListener((MessageListenerConcurrently) (list, context) -> {
        boolean refused = false;
        for (MessageExt each : list) {
          delivered(name, each);
          refused |= each.getReconsumeTimes() < refusals;
        }
        context.setDelayLevelWhenNextConsume(1);
        return refused ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
      });
    }
    HANDLES.put(name, consumer);
    consumer.start();
    return null;
  }

  private static void delivered(String consumer, MessageExt message) {
    JSONObject event = message(message);
    event.put("event", "message");
    event.put("of", consumer);
    emit(event);
  }

  private static Object lite(JSONObject r) throws Exception {
    DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(r.getString("group"));
    configure(consumer, r);
    consumer.setAutoCommit(false);
    consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
    if (r.containsKey("subscribe")) {
      for (Map.Entry<String, Object> each : r.getJSONObject("subscribe").entrySet()) {
        consumer.subscribe(each.getKey(), (String) each.getValue());
      }
    }
    HANDLES.put(r.getString("as"), consumer);
    consumer.start();
    return null;
  }

  private static Object assign(JSONObject r) {
    List<MessageQueue> queues = new ArrayList<>();
    for (Object each : r.getJSONArray("queues")) queues.add(toQueue((JSONObject) each));
    lite(r.getString("of")).assign(queues);
    return null;
  }

  private static Object seek(JSONObject r) throws Exception {
    DefaultLitePullConsumer consumer = lite(r.getString("of"));
    if ("begin".equals(r.get("offset"))) consumer.seekToBegin(queue(r));
    else if ("end".equals(r.get("offset"))) consumer.seekToEnd(queue(r));
    else consumer.seek(queue(r), r.getLongValue("offset"));
    return null;
  }

  private static Object pullConsumer(JSONObject r) throws Exception {
    DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(r.getString("group"));
    configure(consumer, r);
    HANDLES.put(r.getString("as"), consumer);
    consumer.start();
    return null;
  }

  private static Object pull(JSONObject r) throws Exception {
    PullResult pulled = ((DefaultMQPullConsumer) handle(r))
        .pull(queue(r), r.getString("expression"), r.getLongValue("offset"), r.getIntValue("max"));
    JSONObject result = new JSONObject(true);
    result.put("status", pulled.getPullStatus().name());
    result.put("nextOffset", pulled.getNextBeginOffset());
    result.put("minOffset", pulled.getMinOffset());
    result.put("maxOffset", pulled.getMaxOffset());
    result.put("messages", messages(pulled.getMsgFoundList()));
    return result;
  }

  private static Object updateOffset(JSONObject r) throws Exception {
    DefaultMQPullConsumer consumer = (DefaultMQPullConsumer) handle(r);
    consumer.updateConsumeOffset(queue(r), r.getLongValue("offset"));
    consumer.getOffsetStore().persistAll(Collections.singleton(queue(r)));
    return null;
  }

  private static Object queues(JSONObject r) throws Exception {
    JSONArray queues = new JSONArray();
    for (MessageQueue each : producer(r.getString("of")).fetchPublishMessageQueues(r.getString("topic"))) {
      JSONObject queue = new JSONObject(true);
      queue.put("topic", each.getTopic());
      queue.put("broker", each.getBrokerName());
      queue.put("queueId", each.getQueueId());
      queues.add(queue);
    }
    return queues;
  }

  private static Object createTopic(JSONObject r) throws Exception {
    TopicConfig config = new TopicConfig(r.getString("topic"));
    config.setReadQueueNums(r.getIntValue("queues"));
    config.setWriteQueueNums(r.getIntValue("queues"));
    admin().createAndUpdateTopicConfig(r.getString("address"), config);
    return null;
  }

  private static Object resetOffset(JSONObject r) throws Exception {
    JSONArray offsets = new JSONArray();
    for (Map.Entry<MessageQueue, Long> each : admin()
        .resetOffsetByTimestamp(r.getString("topic"), r.getString("group"), r.getLongValue("timestamp"), true)
        .entrySet()) {
      JSONObject offset = new JSONObject(true);
      offset.put("queueId", each.getKey().getQueueId());
      offset.put("offset", each.getValue());
      offsets.add(offset);
    }
    return offsets;
  }

  private static Object queryByKey(JSONObject r) throws Exception {
    return messages(producer(r.getString("of"))
        .queryMessage(r.getString("topic"), r.getString("key"), 32, 0, System.currentTimeMillis() + 60_000)
        .getMessageList());
  }

  private static Object close(Object handle) {
    if (handle instanceof DefaultMQProducer) ((DefaultMQProducer) handle).shutdown();
    else if (handle instanceof DefaultMQPushConsumer) ((DefaultMQPushConsumer) handle).shutdown();
    else if (handle instanceof DefaultLitePullConsumer) ((DefaultLitePullConsumer) handle).shutdown();
    else if (handle instanceof DefaultMQPullConsumer) ((DefaultMQPullConsumer) handle).shutdown();
    else throw new IllegalArgumentException("nothing of that name is open");
    return null;
  }

  /** The NameServer comes from the environment or -Drocketmq.namesrv.addr, as in the examples. */
  private static void configure(ClientConfig client, JSONObject r) {
    if (r.containsKey("instance")) client.setInstanceName(r.getString("instance"));
    client.setPersistConsumerOffsetInterval(1_000);
    client.setPollNameServerInterval(1_000);
  }

  private static synchronized DefaultMQAdminExt admin() throws Exception {
    if (admin == null) {
      DefaultMQAdminExt started = new DefaultMQAdminExt(30_000);
      started.setInstanceName("driver-admin");
      started.start();
      admin = started;
    }
    return admin;
  }

  private static Object handle(JSONObject r) {
    Object handle = HANDLES.get(r.getString("of"));
    if (handle == null) throw new IllegalArgumentException("nothing is called " + r.getString("of"));
    return handle;
  }

  private static MQAdmin mqAdmin(JSONObject r) {
    return (MQAdmin) handle(r);
  }

  private static DefaultMQProducer producer(String name) {
    return (DefaultMQProducer) HANDLES.get(name);
  }

  private static DefaultLitePullConsumer lite(String name) {
    return (DefaultLitePullConsumer) HANDLES.get(name);
  }

  private static MessageQueue queue(JSONObject r) {
    return toQueue(r.getJSONObject("queue"));
  }

  private static MessageQueue toQueue(JSONObject q) {
    return new MessageQueue(q.getString("topic"), q.getString("broker"), q.getIntValue("queueId"));
  }

  private static Message toMessage(JSONObject m) {
    byte[] body = m.containsKey("randomBytes")
        ? random(m.getIntValue("randomBytes"))
        : m.getString("body").repeat(m.containsKey("repeat") ? m.getIntValue("repeat") : 1).getBytes(StandardCharsets.UTF_8);
    Message message = new Message(m.getString("topic"), m.getString("tags"), m.getString("keys"), body);
    if (m.containsKey("delayLevel")) message.setDelayTimeLevel(m.getIntValue("delayLevel"));
    if (m.containsKey("properties")) {
      m.getJSONObject("properties").forEach((key, value) -> message.putUserProperty(key, (String) value));
    }
    return message;
  }

  private static byte[] random(int bytes) {
    byte[] body = new byte[bytes];
    new Random(bytes).nextBytes(body);
    return body;
  }

  private static JSONObject result(SendResult sent) {
    JSONObject result = new JSONObject(true);
    result.put("status", sent.getSendStatus().name());
    result.put("msgId", sent.getMsgId());
    result.put("offsetMsgId", sent.getOffsetMsgId());
    result.put("broker", sent.getMessageQueue().getBrokerName());
    result.put("queueId", sent.getMessageQueue().getQueueId());
    result.put("queueOffset", sent.getQueueOffset());
    return result;
  }

  private static JSONArray messages(List<MessageExt> list) {
    JSONArray messages = new JSONArray();
    if (list != null) for (MessageExt each : list) messages.add(message(each));
    return messages;
  }

  private static JSONObject message(MessageExt m) {
    JSONObject message = new JSONObject(true);
    CRC32 crc = new CRC32();
    crc.update(m.getBody());
    message.put("topic", m.getTopic());
    message.put("queueId", m.getQueueId());
    message.put("queueOffset", m.getQueueOffset());
    message.put("msgId", m.getMsgId());
    if (m instanceof MessageClientExt) message.put("offsetMsgId", ((MessageClientExt) m).getOffsetMsgId());
    message.put("tags", m.getTags());
    message.put("keys", m.getKeys());
    message.put("bodyBytes", m.getBody().length);
    message.put("bodyCrc", crc.getValue());
    message.put("body", m.getBody().length <= 1_000 ? new String(m.getBody(), StandardCharsets.UTF_8) : null);
    message.put("sysFlag", m.getSysFlag());
    message.put("reconsumeTimes", m.getReconsumeTimes());
    message.put("bornTimestamp", m.getBornTimestamp());
    message.put("storeTimestamp", m.getStoreTimestamp());
    message.put("storeSize", m.getStoreSize());
    message.put("properties", m.getProperties());
    return message;
  }

  private static void emit(JSONObject line) {
    byte[] bytes = (JSON.toJSONString(line, SerializerFeature.DisableCircularReferenceDetect) + "\n").getBytes(StandardCharsets.UTF_8);
    synchronized (OUT) {
      OUT.write(bytes, 0, bytes.length);
      OUT.flush();
    }
  }

  /** Turns what is printed into {"event": "line", "of": example, "line": ...}, a line at a time for each thread. */
  private static class LineEvents extends OutputStream {
    private final ThreadLocal<ByteArrayOutputStream> open = ThreadLocal.withInitial(ByteArrayOutputStream::new);

    @Override public void write(int b) {
      if (b == '\n') emitLine();
      else open.get().write(b);
    }

    @Override public void write(byte[] bytes, int from, int length) {
      for (int i = from; i < from + length; i++) write(bytes[i]);
    }

    /** The rest of what was printed, when it doesn't end in a line break. */
    void endLine() {
      if (open.get().size() > 0) emitLine();
    }

    private void emitLine() {
      ByteArrayOutputStream line = open.get();
      JSONObject event = new JSONObject(true);
      event.put("event", "line");
      event.put("of", RUNNING.get());
      event.put("line", new String(line.toByteArray(), StandardCharsets.UTF_8));
      line.reset();
      emit(event);
    }
  }
}
