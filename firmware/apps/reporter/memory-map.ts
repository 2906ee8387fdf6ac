/** The first 4 KiB: a place to compose short texts in, and a block for one record and one profile on a board. */

import { PROFILE_TOPIC_LENGTH_MAX } from "../../core/abi";

/** A topic made of a template is no longer. */
export const TOPIC_LENGTH_MAX: u32 = PROFILE_TOPIC_LENGTH_MAX;

/** A topic or a filter is composed here, and a Will's payload behind it. Valid during one call only: no client's state. */
export const TEXT_SCRATCH = memory.data(536, 8);

/** Behind the topic, and the three bytes that a filter needs besides. */
export const WILL_PAYLOAD_SCRATCH: usize = TEXT_SCRATCH + TOPIC_LENGTH_MAX + 8;
export const WILL_PAYLOAD_LENGTH_MAX: u32 = 536 - TOPIC_LENGTH_MAX - 8;

/** One record of a board, which has no memory beyond HEAP_BASE, and its profile behind it. */
export const BLOCK = memory.data(3528, 8);
export const BLOCK_LENGTH: u32 = 3528;
export const BLOCK_END: usize = BLOCK + BLOCK_LENGTH;
