import { expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

/** The whole message for a scenario that is given without its version. */
function messageFor(yaml: string): string {
  try {
    readScenario(`version: 1\n${yaml}`, "my.yaml");
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "no mistake";
}

const CONNECT = "phases:\n  - connect: {}\n";

test.each([
  [
    "several devices with one Client Identifier",
    "devices: [{ count: 3, id: mote }]",
    'devices[0].id is the same for all 3 devices; put %i in it, such as "mote-%05i"',
  ],
  [
    "a Client Identifier that cannot be part of a topic",
    'devices: [{ id: "a/%i" }]',
    "devices[0].id has one of / + # in it",
  ],
  [
    "a Client Identifier that the firmware cannot hold",
    `devices: [{ id: "${"x".repeat(63)}%i" }]`,
    "more than 64 bytes",
  ],
  [
    "a Client Identifier that Home Assistant does not take in a discovery topic",
    'devices: [{ profile: homeassistant, id: "küche-%i", count: 2 }]',
    'devices[0].id becomes "küche-2" in profile homeassistant: it has other characters than a-z',
  ],
  [
    "a Client Identifier that is no Homie device id",
    'devices: [{ profile: homie, id: "Mote-%i" }]',
    "it has other characters than a-z, 0-9 and -, which are all that a Homie device id may have",
  ],
  [
    "a Client Identifier that is no SenML name",
    'devices: [{ profile: senml, id: "_%i" }]',
    "RFC 8428 (4.5.1) does not take it in a name",
  ],
  [
    "a Client Identifier that means the bridge of Zigbee2MQTT",
    "devices: [{ profile: zigbee2mqtt, id: bridge, count: 1 }]",
    "what Zigbee2MQTT says of itself is on zigbee2mqtt/bridge",
  ],
  [
    "a Client Identifier that would end a JSON text",
    "devices: [{ profile: tasmota, id: 'a\"%i' }]",
    "it has a quotation mark, a backslash or a control character in it",
  ],
  ["an unknown profile", "devices: [{ profile: homi }]", "(did you mean homie?)"],
  ["an unknown place in a Client Identifier", 'devices: [{ id: "m%d" }]', 'devices[0].id has "%d"'],
  [
    "two groups with one name",
    "devices: [{ group: a }, { group: a }]",
    'devices[1].group is "a", like devices[0]',
  ],
  [
    "two groups that share a Client Identifier",
    'devices: [{ id: "m%i", count: 5 }, { id: "m%01i", firstNumber: 5 }]',
    'devices[1].id gives "m5", which devices[0] has too',
  ],
  [
    "more devices than a process can hold",
    "devices: [{ count: 60000 }, { count: 60000 }]",
    "devices are 120000 in all, more than 100000",
  ],
  [
    "a backoff that begins above its end",
    "devices: [{ reconnect: { base: 1m } }]",
    "devices[0].reconnect.base is longer than max (30s)",
  ],
  ["a password without a user name", "broker: { password: x }", "needs broker.username too"],
  [
    "a password file without a user name",
    "broker: { passwordFile: x }",
    "broker.passwordFile needs broker.username too",
  ],
  [
    "two passwords",
    "broker: { username: a, password: b, passwordFile: c }",
    "broker.passwordFile is given beside broker.password",
  ],
  ["an unknown place in a user name", "broker: { username: a%u }", 'broker.username has "%u"'],
  [
    "a certificate without its key",
    "broker: { url: mqtts://h, tls: { certFile: a } }",
    "broker.tls.certFile needs broker.tls.keyFile too",
  ],
  [
    "a key without its certificate",
    "broker: { url: mqtts://h, tls: { keyFile: a } }",
    "broker.tls.keyFile needs broker.tls.certFile too",
  ],
  [
    "certificates for a connection without TLS",
    "broker: { url: mqtt://h, tls: { caFile: a } }",
    "broker.tls.caFile needs a broker.url that begins with mqtts:// or wss://",
  ],
  [
    "credentials inside the URL",
    "broker: { url: mqtt://me@h }",
    "broker.url has a user name in it",
  ],
  ["a topic inside the URL", "broker: { url: mqtt://h/motes }", "broker.url has a topic in it"],
  [
    "a keep alive of fractions of a second",
    "broker: { keepAlive: 1500ms }",
    "broker.keepAlive must be whole seconds",
  ],
  [
    "a first phase that does not connect",
    "phases: [{ duration: 5s }]",
    "phases[0] comes first, so it must be a connect phase",
  ],
  ["a second connect phase", `${CONNECT}  - connect: {}`, "phases[1].connect comes too late"],
  [
    "a fault that is spread over more than its phase",
    `${CONNECT}  - { fault: { kind: clean, spread: 6s }, duration: 5s }`,
    "phases[1].fault.spread is longer than the phase (5s)",
  ],
  [
    "a fault for more devices than there are",
    `${CONNECT}  - { fault: { kind: clean, target: 101 }, duration: 5s }`,
    "phases[1].fault.target is 101, but the fleet has only 100 devices",
  ],
  [
    "a silent fault that no keep alive will discover",
    `broker: { keepAlive: 0s }\n${CONNECT}  - { name: dark, fault: { kind: power-loss }, duration: 5s }`,
    'broker.keepAlive is 0 (off), so the broker would never notice the power-loss of phase "dark"',
  ],
  [
    "a broker that is back only after its phase",
    `${CONNECT}  - { brokerRestart: { downtime: 5s }, duration: 5s }`,
    "phases[1].brokerRestart.downtime must be shorter than the phase (5s)",
  ],
  [
    "messages kept for devices that the broker forgets",
    `${CONNECT}  - commands: { whileAway: true }`,
    "phases[1].commands.whileAway needs cleanSession: false",
  ],
  [
    "messages at QoS 0 kept for devices that are away",
    `devices: [{ cleanSession: false }]\n${CONNECT}  - commands: { whileAway: true, qos: 0 }`,
    "phases[1].commands.qos must be 1 or 2",
  ],
])("%s is refused at its key", (_title, yaml, message) => {
  expect(messageFor(yaml)).toMatch(/has a mistake:\n/);
  expect(messageFor(yaml)).toContain(message);
});

test.each([
  ["one device without a number in its Client Identifier", "devices: [{ count: 1, id: mote }]"],
  ["a Client Identifier of 64 bytes", `devices: [{ count: 9, id: "${"x".repeat(63)}%i" }]`],
  ["a password that is not for a device", "broker: { username: me, password: 50%% }"],
  [
    "a silent fault without keep alive, if nobody watches the Wills",
    `broker: { keepAlive: 0s }\nobserve: { wills: false }\n${CONNECT}  - { fault: { kind: hang }, duration: 5s }`,
  ],
  [
    "a fault that the broker sees, without keep alive",
    `broker: { keepAlive: 0s }\n${CONNECT}  - { fault: { kind: tcp-close }, duration: 5s }`,
  ],
  [
    "a restart of somebody else's broker, which its owner does",
    `broker: { url: mqtt://h }\n${CONNECT}  - { brokerRestart: {}, duration: 5s }`,
  ],
])("%s is allowed", (_title, yaml) => {
  expect(messageFor(yaml)).toBe("no mistake");
});

test("contradictions in several places are reported together, from the top down", () => {
  const yaml = `devices: [{ count: 3, id: mote }]\nbroker: { password: x }\n${CONNECT}  - { fault: { kind: clean, target: 9 }, duration: 5s }`;
  const places = [...messageFor(yaml).matchAll(/my\.yaml:(\d+):/g)].map(([, line]) => line);
  expect(places).toEqual(["2", "3", "6"]);
});
