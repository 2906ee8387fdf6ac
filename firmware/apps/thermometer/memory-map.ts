/** The first 4 KiB: the texts, one stretch to compose messages in, and a block for one record on a board. */

/** All texts in one piece: each piece would cost the module some bytes more. */
const TEXTS = memory.data<u8>([
  // "motes/"
  0x6d, 0x6f, 0x74, 0x65, 0x73, 0x2f,
  // "/status"
  0x2f, 0x73, 0x74, 0x61, 0x74, 0x75, 0x73,
  // "/telemetry"
  0x2f, 0x74, 0x65, 0x6c, 0x65, 0x6d, 0x65, 0x74, 0x72, 0x79,
  // "/cmd"
  0x2f, 0x63, 0x6d, 0x64,
  // "online"
  0x6f, 0x6e, 0x6c, 0x69, 0x6e, 0x65,
  // "offline"
  0x6f, 0x66, 0x66, 0x6c, 0x69, 0x6e, 0x65,
  // `{"temperature":`
  0x7b, 0x22, 0x74, 0x65, 0x6d, 0x70, 0x65, 0x72, 0x61, 0x74, 0x75, 0x72, 0x65, 0x22, 0x3a,
  // `,"seq":`
  0x2c, 0x22, 0x73, 0x65, 0x71, 0x22, 0x3a,
  // `,"ts":`
  0x2c, 0x22, 0x74, 0x73, 0x22, 0x3a,
  // "interval "
  0x69, 0x6e, 0x74, 0x65, 0x72, 0x76, 0x61, 0x6c, 0x20,
  // "report"
  0x72, 0x65, 0x70, 0x6f, 0x72, 0x74,
]);

export const TOPIC_PREFIX: usize = TEXTS;
export const TOPIC_PREFIX_LENGTH: u32 = 6;
export const STATUS: usize = TOPIC_PREFIX + TOPIC_PREFIX_LENGTH;
export const STATUS_LENGTH: u32 = 7;
export const TELEMETRY: usize = STATUS + STATUS_LENGTH;
export const TELEMETRY_LENGTH: u32 = 10;
export const COMMAND: usize = TELEMETRY + TELEMETRY_LENGTH;
export const COMMAND_LENGTH: u32 = 4;
export const ONLINE: usize = COMMAND + COMMAND_LENGTH;
export const ONLINE_LENGTH: u32 = 6;
export const OFFLINE: usize = ONLINE + ONLINE_LENGTH;
export const OFFLINE_LENGTH: u32 = 7;
export const TEMPERATURE_KEY: usize = OFFLINE + OFFLINE_LENGTH;
export const TEMPERATURE_KEY_LENGTH: u32 = 15;
export const SEQ_KEY: usize = TEMPERATURE_KEY + TEMPERATURE_KEY_LENGTH;
export const SEQ_KEY_LENGTH: u32 = 7;
export const TS_KEY: usize = SEQ_KEY + SEQ_KEY_LENGTH;
export const TS_KEY_LENGTH: u32 = 6;
export const INTERVAL_COMMAND: usize = TS_KEY + TS_KEY_LENGTH;
export const INTERVAL_COMMAND_LENGTH: u32 = 9;
export const REPORT_COMMAND: usize = INTERVAL_COMMAND + INTERVAL_COMMAND_LENGTH;
export const REPORT_COMMAND_LENGTH: u32 = 6;

/** A topic is composed here. Valid during one call only: no client's state. */
export const TOPIC_SCRATCH = memory.data(96, 8);

/** A payload, or a filter of SUBSCRIBE, is composed here. */
export const PAYLOAD_SCRATCH = memory.data(104, 8);

/** One record of a board, which has no memory beyond HEAP_BASE. */
export const BLOCK = memory.data(3072, 8);
export const BLOCK_LENGTH: u32 = 3072;
export const BLOCK_END: usize = BLOCK + BLOCK_LENGTH;
