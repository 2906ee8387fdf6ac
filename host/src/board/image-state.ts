/** Which modules a board holds, and what becomes of them (docs/wire.md, group 1). */

import { z } from "zod";
import type { SmpClient } from "./smp-client.ts";
import { SmpGroup } from "./smp-error.ts";

/** Flags that are false may be left out. */
const flag = z.boolean().optional().default(false);

const stateAnswer = z
  .object({
    images: z.array(
      z
        .object({
          slot: z.int().min(0),
          version: z.string(),
          hash: z.instanceof(Uint8Array).optional(),
          bootable: flag,
          pending: flag,
          confirmed: flag,
          active: flag,
          permanent: flag,
        })
        .transform(({ slot, version, hash, ...flags }) => ({
          slot,
          version,
          /** The SHA-256 that its container states, not that of the module file. */
          hash,
          isBootable: flags.bootable,
          /** It runs from the next reset. */
          isPending: flags.pending,
          isConfirmed: flags.confirmed,
          /** It runs now. */
          isActive: flags.active,
          /** Pending, and needs no confirmation then. */
          isPermanent: flags.permanent,
        })),
    ),
  })
  .transform(({ images }) => images);

/** A module that lies in a slot. */
export type ImageSlot = z.output<typeof stateAnswer>[number];

const slotsAnswer = z
  .object({
    images: z
      .array(
        z.object({
          image: z.int(),
          slots: z.array(z.object({ slot: z.int().min(0), size: z.int().min(0) })).min(1),
          max_image_size: z.int().min(0).optional(),
        }),
      )
      .min(1),
  })
  .transform(({ images: [first] }) => {
    const slots = (first?.slots ?? []).map(({ slot, size }) => ({ slot, length: size }));
    const lengths = slots.map(({ length }) => length);
    return {
      slots,
      /** The longest image that a slot takes, in bytes. */
      imageLengthMax: first?.max_image_size ?? Math.min(...lengths),
    };
  });

export type SlotInfo = z.output<typeof slotsAnswer>;

/** Only slots that hold a module. */
export function readImages(smp: SmpClient): Promise<ImageSlot[]> {
  return smp.request({
    what: "list its modules",
    operation: "read",
    group: SmpGroup.Image,
    command: 0,
    answer: stateAnswer,
  });
}

/** The slot that holds the image with this hash. */
export function slotOf(images: readonly ImageSlot[], hash: Uint8Array): ImageSlot | undefined {
  return images.find((slot) => slot.hash !== undefined && Buffer.from(slot.hash).equals(hash));
}

/** With `confirm` for good, without it for a trial; the module that runs if `hash` is absent. */
export function setImage(
  smp: SmpClient,
  hash: Uint8Array | undefined,
  confirm: boolean,
): Promise<ImageSlot[]> {
  return smp.request({
    what: confirm ? "confirm a module" : "try a module",
    remedy: "See which modules it has, and which runs: wasmqtt slots",
    operation: "write",
    group: SmpGroup.Image,
    command: 0,
    body: { hash, confirm },
    answer: stateAnswer,
  });
}

/** Flash is slow to erase: a large slot takes some ten seconds. */
const ERASE_PATIENCE = { timeoutMs: 3_000, attemptCount: 10 };

/** The one that does not run if `slot` is absent. */
export async function eraseSlot(smp: SmpClient, slot: number | undefined): Promise<void> {
  await smp.request({
    what: "erase a module",
    operation: "write",
    group: SmpGroup.Image,
    command: 5,
    body: { slot },
    answer: z.looseObject({}),
    patience: ERASE_PATIENCE,
  });
}

export function readSlots(smp: SmpClient): Promise<SlotInfo> {
  return smp.request({
    what: "tell the size of its slots",
    operation: "read",
    group: SmpGroup.Image,
    command: 6,
    answer: slotsAnswer,
  });
}
