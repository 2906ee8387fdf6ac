/** The first 4 KiB: the texts, one stretch to compose messages in, and a block for one record on a board. */

/** "motes/" */
export const TOPIC_PREFIX = memory.data<u8>([0x6d, 0x6f, 0x74, 0x65, 0x73, 0x2f]);
export const TOPIC_PREFIX_LENGTH: u32 = 6;

/** "/status" */
export const STATUS = memory.data<u8>([0x2f, 0x73, 0x74, 0x61, 0x74, 0x75, 0x73]);
export const STATUS_LENGTH: u32 = 7;

/** "/telemetry" */
export const TELEMETRY = memory.data<u8>([
  0x2f, 0x74, 0x65, 0x6c, 0x65, 0x6d, 0x65, 0x74, 0x72, 0x79,
]);
export const TELEMETRY_LENGTH: u32 = 10;

/** "/cmd" */
export const COMMAND = memory.data<u8>([0x2f, 0x63, 0x6d, 0x64]);
export const COMMAND_LENGTH: u32 = 4;

/** "online" */
export const ONLINE = memory.data<u8>([0x6f, 0x6e, 0x6c, 0x69, 0x6e, 0x65]);
export const ONLINE_LENGTH: u32 = 6;

/** "offline" */
export const OFFLINE = memory.data<u8>([0x6f, 0x66, 0x66, 0x6c, 0x69, 0x6e, 0x65]);
export const OFFLINE_LENGTH: u32 = 7;

/** `{"temperature":` */
export const TEMPERATURE_KEY = memory.data<u8>([
  0x7b, 0x22, 0x74, 0x65, 0x6d, 0x70, 0x65, 0x72, 0x61, 0x74, 0x75, 0x72, 0x65, 0x22, 0x3a,
]);
export const TEMPERATURE_KEY_LENGTH: u32 = 15;

/** `,"seq":` */
export const SEQ_KEY = memory.data<u8>([0x2c, 0x22, 0x73, 0x65, 0x71, 0x22, 0x3a]);
export const SEQ_KEY_LENGTH: u32 = 7;

/** `,"ts":` */
export const TS_KEY = memory.data<u8>([0x2c, 0x22, 0x74, 0x73, 0x22, 0x3a]);
export const TS_KEY_LENGTH: u32 = 6;

/** "interval " */
export const INTERVAL_COMMAND = memory.data<u8>([
  0x69, 0x6e, 0x74, 0x65, 0x72, 0x76, 0x61, 0x6c, 0x20,
]);
export const INTERVAL_COMMAND_LENGTH: u32 = 9;

/** "report" */
export const REPORT_COMMAND = memory.data<u8>([0x72, 0x65, 0x70, 0x6f, 0x72, 0x74]);
export const REPORT_COMMAND_LENGTH: u32 = 6;

/** A topic is composed here. Valid during one call only: no client's state. */
export const TOPIC_SCRATCH = memory.data(96, 8);

/** A payload, or a filter of SUBSCRIBE, is composed here. */
export const PAYLOAD_SCRATCH = memory.data(104, 8);

/** One record of a board, which has no memory beyond HEAP_BASE. */
export const BLOCK = memory.data(3072, 8);
export const BLOCK_LENGTH: u32 = 3072;
export const BLOCK_END: usize = BLOCK + BLOCK_LENGTH;
