// Kafka's own generated message classes as a judge of ours. Two commands:
//
//   write SEED ROUNDS FILE   fills every message class in every version with random values, by
//                            reflection, and writes what Kafka makes of them
//   check FILE               reads messages with Kafka's classes, writes them again and compares
//
// A file is a row of: name (u16 length, text), version (i16), length (i32), bytes.

import java.io.*;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.*;
import org.apache.kafka.common.record.*;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.ResponseHeader;
import org.apache.kafka.common.utils.ImplicitLinkedHashCollection;
import org.apache.kafka.coordinator.group.generated.*;
import org.apache.kafka.coordinator.transaction.generated.*;

public class WireOracle {
    /** Every class by the name of its schema. */
    private static final Map<String, Class<? extends Message>> CLASSES = new LinkedHashMap<>();

    static {
        for (ApiKeys api : ApiKeys.zkBrokerApis()) {
            CLASSES.put(api.name + "Request", api.messageType.newRequest().getClass());
            CLASSES.put(api.name + "Response", api.messageType.newResponse().getClass());
        }
        for (Class<? extends Message> stored : List.of(
                OffsetCommitKey.class, OffsetCommitValue.class, GroupMetadataKey.class,
                GroupMetadataValue.class, TransactionLogKey.class, TransactionLogValue.class,
                ConsumerGroupMetadataKey.class, ConsumerGroupMetadataValue.class,
                ConsumerGroupPartitionMetadataKey.class,
                ConsumerGroupPartitionMetadataValue.class,
                ConsumerGroupMemberMetadataKey.class, ConsumerGroupMemberMetadataValue.class,
                ConsumerGroupTargetAssignmentMetadataKey.class,
                ConsumerGroupTargetAssignmentMetadataValue.class,
                ConsumerGroupTargetAssignmentMemberKey.class,
                ConsumerGroupTargetAssignmentMemberValue.class,
                ConsumerGroupCurrentMemberAssignmentKey.class,
                ConsumerGroupCurrentMemberAssignmentValue.class,
                ConsumerProtocolSubscription.class, ConsumerProtocolAssignment.class)) {
            CLASSES.put(stored.getSimpleName(), stored);
        }
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) {
            write(Long.parseLong(args[1]), Integer.parseInt(args[2]), args[3]);
        } else {
            check(args[1]);
        }
    }

    private static void write(long seed, int rounds, String file) throws Exception {
        Filler filler = new Filler(new Random(seed));
        try (DataOutputStream out = new DataOutputStream(
                new BufferedOutputStream(new FileOutputStream(file)))) {
            for (Map.Entry<String, Class<? extends Message>> entry : CLASSES.entrySet()) {
                Message empty = entry.getValue().getConstructor().newInstance();
                Schema[] schemas = (Schema[]) entry.getValue().getField("SCHEMAS").get(null);
                for (short v = empty.lowestSupportedVersion();
                        v <= empty.highestSupportedVersion(); v++) {
                    for (int i = 0; i < rounds; i++) {
                        Message message = (Message) filler.fill(entry.getValue(), schemas[v], false);
                        put(out, entry.getKey(), v, bytes(message, v));
                    }
                }
            }
            writeHeaders(out, filler);
        }
    }

    private static void writeHeaders(DataOutputStream out, Filler filler) throws IOException {
        for (ApiKeys api : ApiKeys.zkBrokerApis()) {
            for (short v = api.oldestVersion(); v <= api.latestVersion(); v++) {
                RequestHeader request =
                    new RequestHeader(api, v, filler.text(0), filler.random.nextInt());
                put(out, "RequestHeader", v, bytes(request.data(), request.headerVersion()));
                short headerVersion = api.responseHeaderVersion(v);
                ResponseHeader response = new ResponseHeader(filler.random.nextInt(), headerVersion);
                put(out, "ResponseHeader " + api.id, v, bytes(response.data(), headerVersion));
            }
        }
    }

    private static void check(String file) throws Exception {
        int wrong = 0;
        try (DataInputStream in = new DataInputStream(
                new BufferedInputStream(new FileInputStream(file)))) {
            while (in.available() > 0) {
                String name = new String(in.readNBytes(in.readUnsignedShort()),
                    StandardCharsets.UTF_8);
                short version = in.readShort();
                byte[] given = in.readNBytes(in.readInt());
                if (name.contains("Header")) {
                    continue;
                }
                try {
                    Message message = CLASSES.get(name).getConstructor().newInstance();
                    ByteBufferAccessor readable = new ByteBufferAccessor(ByteBuffer.wrap(given));
                    message.read(readable, version);
                    byte[] again = bytes(message, version);
                    if (readable.remaining() > 0 || !Arrays.equals(given, again)) {
                        throw new IllegalStateException(readable.remaining() + " left, " + message);
                    }
                } catch (RuntimeException e) {
                    wrong++;
                    System.err.println(name + " v" + version + ": " + e);
                }
            }
        }
        System.exit(wrong == 0 ? 0 : 1);
    }

    private static byte[] bytes(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return buffer.array();
    }

    private static void put(DataOutputStream out, String name, short version, byte[] bytes)
            throws IOException {
        byte[] text = name.getBytes(StandardCharsets.UTF_8);
        out.writeShort(text.length);
        out.write(text);
        out.writeShort(version);
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    /** Makes objects with random values in exactly those fields that a version has. */
    private static final class Filler {
        final Random random;

        Filler(Random random) {
            this.random = random;
        }

        /** With {@code set}, no value is null. */
        Object fill(Class<?> type, Schema schema, boolean set) throws Exception {
            Object object = type.getConstructor().newInstance();
            for (BoundField bound : schema.fields()) {
                if (bound.def.type instanceof TaggedFields) {
                    for (Field tagged : taggedFields((TaggedFields) bound.def.type)) {
                        if (random.nextBoolean()) {
                            setField(object, tagged.name, tagged.type, true);
                        }
                    }
                } else {
                    setField(object, bound.def.name, bound.def.type, set);
                }
            }
            return object;
        }

        @SuppressWarnings("unchecked")
        private static Collection<Field> taggedFields(TaggedFields type) throws Exception {
            java.lang.reflect.Field fields = TaggedFields.class.getDeclaredField("fields");
            fields.setAccessible(true);
            return ((Map<Integer, Field>) fields.get(type)).values();
        }

        private void setField(Object object, String name, Type type, boolean set) throws Exception {
            java.lang.reflect.Field target = null;
            for (java.lang.reflect.Field field : object.getClass().getDeclaredFields()) {
                if (field.getName().toLowerCase().equals(name.replace("_", "").toLowerCase())) {
                    target = field;
                }
            }
            if (target == null) {
                throw new IllegalStateException(object.getClass() + " has no field " + name);
            }
            target.setAccessible(true);
            // The schema of a nullable struct does not say so, but its default does.
            boolean nullable = type.isNullable()
                || (type instanceof Schema && target.get(object) == null);
            target.set(object, nullable && !set && random.nextInt(4) == 0
                ? null
                : value(target.getType(), target.getGenericType(), type, set));
        }

        private Object value(Class<?> java, java.lang.reflect.Type generic, Type type, boolean set)
                throws Exception {
            if (java == boolean.class) {
                return random.nextBoolean();
            } else if (java == byte.class || java == Byte.class) {
                return (byte) number();
            } else if (java == short.class || java == Short.class) {
                return (short) number();
            } else if (java == int.class && type.toString().equals("UINT16")) {
                return (int) number() & 0xffff;
            } else if (java == int.class || java == Integer.class) {
                return (int) number();
            } else if (java == long.class || java == Long.class) {
                return number();
            } else if (java == double.class) {
                return random.nextGaussian();
            } else if (java == Uuid.class) {
                return new Uuid(random.nextLong(), random.nextLong());
            } else if (java == String.class) {
                return text(set ? 1 : 0);
            } else if (java == byte[].class) {
                return octets();
            } else if (java == ByteBuffer.class) {
                return ByteBuffer.wrap(octets());
            } else if (BaseRecords.class.isAssignableFrom(java)) {
                return MemoryRecords.readableRecords(ByteBuffer.wrap(octets()));
            } else if (type instanceof Schema) {
                return fill(java, (Schema) type, set);
            }
            return collection(java, generic, type.arrayElementType().get(), set ? 1 : 0);
        }

        @SuppressWarnings({"unchecked", "rawtypes"})
        private Object collection(Class<?> java, java.lang.reflect.Type generic, Type element,
                int least) throws Exception {
            boolean keyed = ImplicitLinkedHashCollection.class.isAssignableFrom(java);
            ParameterizedType parameters =
                (ParameterizedType) (keyed ? java.getGenericSuperclass() : generic);
            Class<?> elementClass = (Class<?>) parameters.getActualTypeArguments()[0];
            Collection all =
                keyed ? (Collection) java.getConstructor().newInstance() : new ArrayList<>();
            int count = least + random.nextInt(4);
            for (int i = 0; i < count; i++) {
                all.add(value(elementClass, elementClass, element, false));
            }
            return all;
        }

        private long number() {
            long[] extremes = {0, -1, 1, Byte.MAX_VALUE, Byte.MIN_VALUE, Short.MAX_VALUE,
                Short.MIN_VALUE, Integer.MAX_VALUE, Integer.MIN_VALUE, Long.MAX_VALUE,
                Long.MIN_VALUE};
            switch (random.nextInt(3)) {
                case 0: return random.nextInt(200);
                case 1: return extremes[random.nextInt(extremes.length)];
                default: return random.nextLong();
            }
        }

        String text(int least) {
            String[] letters = {"a", "Z", "0", ".", "-", "\u00e9", "\u20ac", "\ud834\udd1e"};
            StringBuilder text = new StringBuilder();
            int count = least + random.nextInt(random.nextInt(8) == 0 ? 200 : 12);
            for (int i = 0; i < count; i++) {
                text.append(letters[random.nextInt(letters.length)]);
            }
            return text.toString();
        }

        private byte[] octets() {
            byte[] octets = new byte[random.nextInt(random.nextInt(8) == 0 ? 2000 : 40)];
            random.nextBytes(octets);
            return octets;
        }
    }
}
