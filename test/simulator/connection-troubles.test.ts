/** What a run says of connections that fail or are lost: each reason once, with what to do. */

import { beforeEach, expect, test } from "vitest";
import { Status } from "../../firmware/core/abi.ts";
import { ConnectionError, ProtocolError, RefusedError } from "../../host/src/errors.ts";
import { ConnectionTroubles } from "../../simulator/src/fleet/connection-troubles.ts";

let sentences: string[];
let troubles: ConnectionTroubles;

beforeEach(() => {
  sentences = [];
  troubles = new ConnectionTroubles((sentence) => sentences.push(sentence));
});

const lost = (problem: string) => new ConnectionError("lost", problem, "Look there");

test("a reason is told once, however many devices it hits", () => {
  for (let device = 0; device < 100; device++) {
    troubles.failed(lost("broker:1883: gone"));
    troubles.failed(new RefusedError(3));
  }
  expect(sentences).toEqual([
    "Connections failed. broker:1883: gone. Look there.",
    "Connections failed. The broker refused the connection (return code 3): it is not ready for clients. See the broker's log, and try again later.",
  ]);
});

test("what fails, what is lost and what leaves unheard are different troubles", () => {
  const reason = new ProtocolError(Status.ResponseTimeout);
  troubles.failed(reason);
  troubles.lost(reason);
  troubles.unheard(reason);
  troubles.lost(undefined);
  troubles.unheard(undefined);
  const silence = "The broker was disconnected: it did not answer in time. See the broker's log.";
  expect(sentences).toEqual([
    `Connections failed. ${silence}`,
    `Connections were lost. ${silence}`,
    `Devices have left without a goodbye that the broker took. ${silence}`,
    "Connections were lost. The broker closed them in order, but without a word. See the broker's log.",
    "Devices have left without a goodbye that the broker took. It did not acknowledge it in time.",
  ]);
});

test("reasons that differ from device to device do not fill a page", () => {
  for (let device = 0; device < 1_000; device++) troubles.lost(lost(`socket ${device}`));
  expect(sentences).toHaveLength(10);
});
