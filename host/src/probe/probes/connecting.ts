/** Questions about CONNECT: which versions of MQTT, and which client ids, a broker takes. */

import { answerText, type ConnectAnswer, type Lab } from "../lab.ts";
import { free, must, type Outcome, type Probe } from "../probe.ts";
import type { ProbeClient } from "../probe-client.ts";

export const connectingProbes: readonly Probe[] = [
  {
    id: "version.3.1.1",
    question: "MQTT 3.1.1",
    did: "CONNECT with protocol level 4",
    clause: "MQTT-3.1.4-4",
    run: async (lab) => {
      const { answer } = await lab.tryConnect({});
      const connack = connackText(answer);
      const isRight = connack === "CONNACK 00 00";
      const isOdd = isAccepted(answer) && !isRight;
      return must(isRight, isOdd ? `accepted, with ${connack}` : answerText(answer), connack);
    },
  },
  {
    id: "version.3.1",
    question: "MQTT 3.1",
    did: 'CONNECT with the protocol name "MQIsdp" and level 3',
    clause: "MQTT-3.1.2-1",
    run: async (lab) => {
      const { answer } = await lab.tryConnect({ protocol: { name: "MQIsdp", level: 3 } });
      return free(answerText(answer), connackText(answer));
    },
  },
  {
    id: "version.5",
    question: "MQTT 5",
    did: "CONNECT with protocol level 5",
    clause: "MQTT-3.1.2-2",
    run: async (lab) => {
      const { client, answer } = await lab.tryConnect({ protocol: { name: "MQTT", level: 5 } });
      if (!isAccepted(answer)) return refusedLevel(client, answer);
      const properties = propertiesText(answer);
      return free("accepted", `${connackText(answer)}; ${properties}`);
    },
  },
  {
    id: "version.unknown",
    question: "a version that does not exist",
    did: "CONNECT with protocol level 9",
    clause: "MQTT-3.1.2-2",
    run: async (lab) => {
      const { client, answer } = await lab.tryConnect({ protocol: { name: "MQTT", level: 9 } });
      return refusedLevel(client, answer);
    },
  },
  {
    id: "clientid.empty-clean",
    question: "an empty client id with a clean session",
    did: "CONNECT with a client id of 0 bytes and Clean Session 1",
    clause: "MQTT-3.1.3-6",
    run: async (lab) => {
      const { answer } = await lab.tryConnect({ clientId: "" });
      return free(answerText(answer), connackText(answer));
    },
  },
  {
    id: "clientid.empty-session",
    question: "an empty client id with a session to keep",
    did: "CONNECT with a client id of 0 bytes and Clean Session 0",
    clause: "MQTT-3.1.3-8",
    run: async (lab) => {
      const { client, answer } = await lab.tryConnect({ clientId: "", cleanSession: false });
      const isRefused = answer.kind === "answered" && answer.returnCode === IDENTIFIER_REJECTED;
      const isEnded = await client.hasEnded();
      const got = `${connackText(answer)}; the connection ${isEnded ? "was closed" : "stays open"}`;
      return must(isRefused && isEnded, answerText(answer), got);
    },
  },
  {
    id: "clientid.23",
    question: "a client id of 23 letters and digits",
    did: "CONNECT with such an id",
    clause: "MQTT-3.1.3-5",
    run: (lab) => mustAccept(lab, lab.clientId().padEnd(23, "Aa9")),
  },
  {
    id: "clientid.65535",
    question: "a client id of 65,535 bytes",
    did: "CONNECT with such an id",
    clause: "MQTT-3.1.3-5",
    run: (lab) => mayAccept(lab, lab.clientId().padEnd(65_535, "x")),
  },
  {
    id: "clientid.characters",
    question: "a client id with other characters",
    did: 'CONNECT with an id that holds "/", "#", a space and "ü"',
    clause: "MQTT-3.1.3-5",
    run: (lab) => mayAccept(lab, `${lab.clientId()}/# ü`),
  },
  {
    id: "connect.takeover",
    question: "a second client with the same id",
    did: "connected twice with one client id, and waited for the end of the first connection",
    clause: "MQTT-3.1.4-2",
    run: async (lab) => {
      const clientId = lab.clientId();
      const first = await lab.connect({ clientId });
      const second = await lab.tryConnect({ clientId });
      const isOut = await first.hasEnded();
      const got = `the second: ${answerText(second.answer)}; the first ${isOut ? "was closed" : "stays"}`;
      return must(isOut, isOut ? "takes the place of the first" : "both stay connected", got);
    },
  },
  {
    id: "connect.session-present-clean",
    question: "Session Present with a clean session",
    did: "connected with Clean Session 1 after a session had been kept",
    clause: "MQTT-3.2.2-1",
    run: async (lab) => {
      const clientId = lab.clientId();
      const kept = await lab.connect({ clientId, cleanSession: false });
      await kept.subscribe(lab.topic("kept"), 1);
      await kept.disconnect();
      const { answer } = await lab.tryConnect({ clientId });
      if (!isAccepted(answer)) return must(false, answerText(answer), connackText(answer));
      const flag = answer.sessionPresent ? 1 : 0;
      return must(flag === 0, `${flag}`, connackText(answer));
    },
  },
];

/** Connect Return codes (3.2.2.3), and the Reason Code of MQTT 5 for the same as the first. */
const UNACCEPTABLE_VERSION = 1;
const IDENTIFIER_REJECTED = 2;
const UNSUPPORTED_VERSION = 0x84;

type Answered = Extract<ConnectAnswer, { kind: "answered" }>;

function isAccepted(answer: ConnectAnswer): answer is Answered {
  return answer.kind === "answered" && answer.returnCode === 0;
}

async function mustAccept(lab: Lab, clientId: string): Promise<Outcome> {
  const { answer } = await lab.tryConnect({ clientId });
  return must(isAccepted(answer), answerText(answer), connackText(answer));
}

async function mayAccept(lab: Lab, clientId: string): Promise<Outcome> {
  const { answer } = await lab.tryConnect({ clientId });
  return free(answerText(answer), connackText(answer));
}

/** [MQTT-3.1.2-2] CONNACK with return code 1, then the end. A server of MQTT 5 may say it in its own way. */
async function refusedLevel(client: ProbeClient, answer: ConnectAnswer): Promise<Outcome> {
  const code = answer.kind === "answered" ? answer.returnCode : undefined;
  const isEnded = await client.hasEnded();
  const isSaid = code === UNACCEPTABLE_VERSION || code === UNSUPPORTED_VERSION;
  const got = `${connackText(answer)}; the connection ${isEnded ? "was closed" : "stays open"}`;
  return must(isSaid && isEnded, answerText(answer), got);
}

/** Of a CONNACK: all of it in MQTT 3.1.1. */
const SHOWN_LENGTH = 24;

function connackText(answer: ConnectAnswer): string {
  if (answer.kind !== "answered") return answerText(answer);
  const bytes = [...answer.connack.body.subarray(0, SHOWN_LENGTH)];
  return `CONNACK ${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}`;
}

/** What a server of MQTT 5 may say about itself in CONNACK (MQTT 5, 3.2.2.3), and how many bytes each takes. */
const PROPERTIES: ReadonlyMap<number, readonly [name: string, length: number]> = new Map([
  [0x11, ["Session Expiry Interval", 4]],
  [0x13, ["Server Keep Alive", 2]],
  [0x21, ["Receive Maximum", 2]],
  [0x22, ["Topic Alias Maximum", 2]],
  [0x24, ["Maximum QoS", 1]],
  [0x25, ["Retain Available", 1]],
  [0x27, ["Maximum Packet Size", 4]],
  [0x28, ["Wildcard Subscription Available", 1]],
  [0x29, ["Subscription Identifier Available", 1]],
  [0x2a, ["Shared Subscription Available", 1]],
]);

/** Up to the first property that is not a number. */
function propertiesText({ connack }: Answered): string {
  const { body } = connack;
  const texts: string[] = [];
  // One byte each for flags, reason, and the length of the properties: servers send fewer than 128 bytes of them.
  for (let at = 3; at < body.length; ) {
    const [name, length] = PROPERTIES.get(body[at] ?? 0) ?? [];
    if (name === undefined || length === undefined || at + length >= body.length) break;
    texts.push(`${name} ${Buffer.from(body).readUIntBE(at + 1, length)}`);
    at += 1 + length;
  }
  return texts.length === 0 ? "it names no limits" : texts.join(", ");
}
