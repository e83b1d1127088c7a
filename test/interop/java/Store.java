import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.zip.CRC32;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageBatch;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageExtBatch;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.GetMessageResult;
import org.apache.rocketmq.store.PutMessageResult;
import org.apache.rocketmq.store.QueryMessageResult;
import org.apache.rocketmq.store.config.FlushDiskType;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.queue.ConsumeQueueInterface;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/**
 * RocketMQ's own store, driven from outside: Store DIR COMMIT_LOG_BYTES CQ_UNITS INDEX_SLOTS INDEX_ENTRIES [kinds], then a
 * command a line, each answered by lines that end with "." alone. With `kinds` there are batch queues (topic batches),
 * a compacted topic (prices) and light queues, tags in ConsumeQueue extensions, and every record has a checksum.
 *   put KIND TOPIC QUEUE COUNT FIRST  messages of a kind, numbered from FIRST
 *   dump                              every queue's messages
 *   queues                            every message of every queue, light ones too, with what its kind adds
 *   key TOPIC KEY                     bodies of the messages with a key
 *   close | halt                      in order, or at once
 */
public class Store {
    static final SocketAddress V4 = new InetSocketAddress("127.0.0.1", 10911);
    static final SocketAddress V6 = new InetSocketAddress("::1", 10911);
    static DefaultMessageStore store;

    public static void main(String[] args) throws Exception {
        MessageStoreConfig config = new MessageStoreConfig();
        config.setStorePathRootDir(args[0]);
        config.setStorePathCommitLog(args[0] + "/commitlog");
        config.setMappedFileSizeCommitLog(Integer.parseInt(args[1]));
        config.setMappedFileSizeConsumeQueue(Integer.parseInt(args[2]) * 20);
        config.setMaxHashSlotNum(Integer.parseInt(args[3]));
        config.setMaxIndexNum(Integer.parseInt(args[4]));
        config.setFlushDiskType(FlushDiskType.ASYNC_FLUSH);
        config.setHaListenPort(0);
        config.setTimerWheelEnable(false);
        config.setDiskMaxUsedSpaceRatio(98);
        ConcurrentHashMap<String, TopicConfig> topics = new ConcurrentHashMap<>();
        if (args.length > 5) {
            config.setMapperFileSizeBatchConsumeQueue(46 * 50);
            config.setEnableConsumeQueueExt(true);
            config.setMappedFileSizeConsumeQueueExt(4096);
            config.setEnableLmq(true);
            config.setEnableMultiDispatch(true);
            config.setEnabledAppendPropCRC(true);
            config.setForceVerifyPropCRC(true);
            // With it, a compacted queue that was opened again skips files once it grows: RocketMQ 5.5.0.
            config.setSearchBcqByCacheEnable(false);
            config.setCompactionCqMappedFileSize(46 * 20);
            config.setCompactionMappedFileSize(46 * 20 * 10);
            for (String[] kind : new String[][] {{"batches", "queue.type", "BatchCQ"}, {"prices", "cleanup.policy", "COMPACTION"}}) {
                TopicConfig topic = new TopicConfig(kind[0], 1, 1, 6);
                topic.getAttributes().put(kind[1], kind[2]);
                topics.put(kind[0], topic);
            }
        }
        BrokerConfig broker = new BrokerConfig();
        broker.setBrokerName("broker-a");
        store = new DefaultMessageStore(config, new BrokerStatsManager("c", false), null, broker, topics);
        if (!store.load()) throw new IllegalStateException("the store does not load");
        store.start();
        System.out.println("open " + store.getMinPhyOffset() + " " + store.getMaxPhyOffset());
        System.out.println(".");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "put": put(words[1], words[2], Integer.parseInt(words[3]), Integer.parseInt(words[4]), Integer.parseInt(words[5])); break;
                case "dump": dump(); break;
                case "queues": queues(); break;
                case "key": key(words[1], words[2]); break;
                case "halt": Runtime.getRuntime().halt(1); break;
                case "close":
                    store.shutdown();
                    System.out.println(".");
                    System.exit(0);
                    break;
                default: throw new IllegalArgumentException(line);
            }
            System.out.println(".");
        }
    }

    static byte[] body(int n) {
        StringBuilder text = new StringBuilder("body " + n + " ");
        for (int i = 0; i < n % 50; i++) text.append("é").append(n * 31 + i).append(' ');
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    static MessageExtBrokerInner message(String kind, String topic, int queue, int n) {
        MessageExtBrokerInner message = new MessageExtBrokerInner();
        message.setTopic(topic);
        message.setQueueId(queue);
        message.setBody(body(n));
        message.setFlag(n);
        message.setBornTimestamp(1_700_000_000_000L + n);
        message.setBornHost(kind.equals("ipv6") ? V6 : V4);
        message.setStoreHost(V4);
        if (kind.equals("ipv6")) message.setBornHostV6Flag();
        message.setReconsumeTimes(n % 3);
        MessageAccessor.putProperty(message, MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, String.format("JAVA%028d", n));
        MessageAccessor.putProperty(message, MessageConst.PROPERTY_KEYS, kind.equals("price") ? "price" + n % 7 : "key" + n + " shared" + n % 7);
        if (n % 4 != 3) message.setTags("Tag" + (char) ('A' + n % 3));
        message.setTagsCode(MessageExtBrokerInner.tagsString2tagsCode(null, message.getTags()));
        if (kind.equals("lmq")) MessageAccessor.putProperty(message, MessageConst.PROPERTY_INNER_MULTI_DISPATCH, n % 2 == 0 ? "%LMQ%a,%LMQ%b" : "%LMQ%a");
        if (kind.equals("half")) message.setSysFlag(message.getSysFlag() | MessageSysFlag.TRANSACTION_PREPARED_TYPE);
        if (kind.equals("commit")) message.setSysFlag(message.getSysFlag() | MessageSysFlag.TRANSACTION_COMMIT_TYPE);
        if (kind.equals("rollback")) message.setSysFlag(message.getSysFlag() | MessageSysFlag.TRANSACTION_ROLLBACK_TYPE);
        message.setPropertiesString(MessageDecoder.messageProperties2String(message.getProperties()));
        return message;
    }

    static void put(String kind, String topic, int queue, int count, int first) throws Exception {
        if (kind.equals("batch") || kind.equals("inner")) {
            List<Message> parts = new ArrayList<>();
            for (int n = first; n < first + count; n++) {
                Message part = new Message(topic, "Tag" + (char) ('A' + n % 3), "key" + n, body(n));
                MessageAccessor.putProperty(part, MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, String.format("JAVA%028d", n));
                parts.add(part);
            }
            MessageExtBatch batch = new MessageExtBatch();
            batch.setTopic(topic);
            batch.setQueueId(queue);
            batch.setBody(MessageDecoder.encodeMessages(parts));
            batch.setBornTimestamp(1_700_000_000_000L);
            batch.setBornHost(V4);
            batch.setStoreHost(V4);
            if (kind.equals("inner")) {
                batch.setSysFlag(batch.getSysFlag() | MessageSysFlag.NEED_UNWRAP_FLAG | MessageSysFlag.INNER_BATCH_FLAG);
                batch.setInnerBatch(true);
                MessageAccessor.putProperty(batch, MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, String.format("BATCH%027d", first));
                MessageAccessor.putProperty(batch, MessageConst.PROPERTY_INNER_NUM, "" + count);
                batch.setPropertiesString(MessageDecoder.messageProperties2String(batch.getProperties()));
                report(store.putMessage(batch));
            } else report(store.putMessages(batch));
            return;
        }
        for (int n = first; n < first + count; n++) report(store.putMessage(message(kind, topic, queue, n)));
    }

    static void report(PutMessageResult result) {
        if (!result.isOk()) throw new IllegalStateException("not stored: " + result.getPutMessageStatus());
    }

    static void dump() throws Exception {
        while (store.dispatchBehindBytes() > 0) Thread.sleep(5);
        for (Map.Entry<String, ? extends Map<Integer, ConsumeQueueInterface>> topic : new TreeMap<>(store.getConsumeQueueTable()).entrySet())
            for (Integer queue : new TreeMap<>(topic.getValue()).keySet()) {
                long offset = store.getMinOffsetInQueue(topic.getKey(), queue);
                while (offset < store.getMaxOffsetInQueue(topic.getKey(), queue)) {
                    GetMessageResult result = store.getMessage("g", topic.getKey(), queue, offset, 32, null);
                    if (result.getMessageBufferList().isEmpty()) throw new IllegalStateException(topic.getKey() + " " + queue + " " + offset + " " + result.getStatus());
                    for (ByteBuffer buffer : result.getMessageBufferList()) print(MessageDecoder.decode(buffer.duplicate(), true, false));
                    offset = result.getNextBeginOffset();
                    result.release();
                }
            }
    }

    static void queues() throws Exception {
        while (store.dispatchBehindBytes() > 0) Thread.sleep(5);
        for (Map.Entry<String, ? extends Map<Integer, ConsumeQueueInterface>> topic : new TreeMap<>(store.getConsumeQueueTable()).entrySet())
            for (Integer queue : new TreeMap<>(topic.getValue()).keySet()) {
                long offset = 0;
                for (;;) {
                    GetMessageResult result = store.getMessage("g", topic.getKey(), queue, offset, 32, null);
                    if (result == null || result.getNextBeginOffset() <= offset) break;
                    for (ByteBuffer buffer : result.getMessageBufferList()) {
                        MessageExt message = MessageDecoder.decode(buffer.duplicate(), true, false);
                        CRC32 crc = new CRC32();
                        crc.update(message.getBody());
                        System.out.println(String.join(" ", topic.getKey(), "" + queue, message.getTopic(), "" + message.getQueueOffset(), "" + message.getStoreSize(), "" + message.getSysFlag(),
                            "" + crc.getValue(), message.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX), "" + message.getProperty(MessageConst.PROPERTY_INNER_NUM),
                            "" + message.getProperty(MessageConst.PROPERTY_INNER_BASE), "" + message.getProperty("INNER_MULTI_QUEUE_OFFSET"), "" + message.getProperty("__CRC32#")));
                    }
                    offset = result.getNextBeginOffset();
                    result.release();
                }
            }
    }

    static void print(MessageExt message) {
        CRC32 crc = new CRC32();
        crc.update(message.getBody());
        System.out.println(String.join(" ", message.getTopic(), "" + message.getQueueId(), "" + message.getQueueOffset(), "" + message.getCommitLogOffset(), "" + message.getStoreSize(),
            "" + message.getFlag(), "" + message.getSysFlag(), "" + message.getBornTimestamp(), "" + message.getStoreTimestamp(), "" + message.getReconsumeTimes(),
            "" + message.getTags(), "" + crc.getValue(), message.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX)));
    }

    static void key(String topic, String key) throws Exception {
        QueryMessageResult result = store.queryMessage(topic, key, 64, 0, Long.MAX_VALUE);
        TreeMap<Long, String> found = new TreeMap<>();
        for (ByteBuffer buffer : result.getMessageBufferList()) {
            MessageExt message = MessageDecoder.decode(buffer.duplicate(), true, false);
            String keys = " " + message.getKeys() + " " + message.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX) + " ";
            if (message.getTopic().equals(topic) && keys.contains(" " + key + " ")) found.put(message.getCommitLogOffset(), "");
        }
        result.release();
        for (Long offset : found.keySet()) System.out.println(offset);
    }
}
