import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import {
  type BrokerUrl,
  brokerAddressText,
  brokerUrlText,
  parseBrokerUrl,
} from "../../host/src/transport/broker-url.ts";

function refusal(text: string): UsageError {
  try {
    parseBrokerUrl(text);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error(`${text} was accepted`);
}

describe("a broker URL", () => {
  test.each<[string, BrokerUrl]>([
    ["mqtt://localhost", { scheme: "mqtt", host: "localhost", port: 1883 }],
    ["mqtts://localhost", { scheme: "mqtts", host: "localhost", port: 8883 }],
    ["ws://localhost", { scheme: "ws", host: "localhost", port: 80, path: "/mqtt" }],
    ["wss://localhost", { scheme: "wss", host: "localhost", port: 443, path: "/mqtt" }],
    ["MQTT://LocalHost:80", { scheme: "mqtt", host: "localhost", port: 80 }],
    ["mqtt://10.0.0.7:65535", { scheme: "mqtt", host: "10.0.0.7", port: 65_535 }],
    ["mqtt://[::1]:1", { scheme: "mqtt", host: "::1", port: 1 }],
    ["ws://[fe80::1%25eth0]", { scheme: "ws", host: "fe80::1%eth0", port: 80, path: "/mqtt" }],
    ["mqtt://my_broker", { scheme: "mqtt", host: "my_broker", port: 1883 }],
    ["mqtt://münchen.example", { scheme: "mqtt", host: "xn--mnchen-3ya.example", port: 1883 }],
    ["ws://host/", { scheme: "ws", host: "host", port: 80, path: "/" }],
    ["ws://host:9001/a/../b?c=d", { scheme: "ws", host: "host", port: 9001, path: "/b?c=d" }],
    ["ws://host//other/x", { scheme: "ws", host: "host", port: 80, path: "//other/x" }],
  ])("%s is read", (text, expected) => {
    expect(parseBrokerUrl(text)).toEqual(expected);
  });

  test.each([
    ["mqtt://host", undefined],
    ["mqtt://host/", undefined],
    ["mqtt://host/a", "a"],
    ["mqtt://host//a/", "/a/"],
    ["mqtt://host/+/status/#", "+/status/#"],
    ["mqtt://host/a?b", "a?b"],
    ["mqtt://host/my%20room/%23/100%25", "my room/#/100%"],
    ["mqtts://u@host/a@b", "a@b"],
  ])("%s names the topic %s, as with mosquitto's -L", (text, topic) => {
    expect(parseBrokerUrl(text).topic).toBe(topic);
  });

  test.each([
    ["mqtt://host", undefined, undefined],
    ["mqtt://@host", undefined, undefined],
    ["mqtt://ada@host", "ada", undefined],
    ["mqtt://ada:@host", "ada", ""],
    ["mqtt://:secret@host", "", "secret"],
    ["mqtt://ada:a:b@host", "ada", "a:b"],
    ["mqtt://ada:p@ss@host", "ada", "p@ss"],
    ["ws://a%40b%3Ac:%2F%25%C3%BC@host", "a@b:c", "/%ü"],
  ])("%s has the user name %s and the password %s", (text, userName, password) => {
    const url = parseBrokerUrl(text);
    expect([url.host, url.userName, url.password]).toEqual(["host", userName, password]);
  });
});

describe("a wrong broker URL is refused with what to write instead:", () => {
  test.each([
    ["localhost", "has no scheme", "Write mqtt://HOST"],
    ["localhost:1883", "has no scheme", "Write mqtt://HOST"],
    ["mqtt:localhost", "has no scheme", "Write mqtt://HOST"],
    ["", "has no scheme", "Write mqtt://HOST"],
    ["tcp://host", "no scheme of MQTT", "Write mqtt://"],
    ["ssl://host", "no scheme of MQTT", "Write mqtts://"],
    ["tls://host", "no scheme of MQTT", "Write mqtts://"],
    ["http://host", "no scheme of MQTT", "Write ws://"],
    ["https://host", "no scheme of MQTT", "Write wss://"],
    ["constructor://host", "no scheme of MQTT", "Write mqtt://, mqtts://, ws:// or wss://"],
    ["mqtt://", "names no host", "mqtt://localhost"],
    ["mqtt:///topic", "names no host", "mqtt://localhost"],
    ["mqtt://user@", "names no host", "mqtt://localhost"],
    ["mqtt://:1883", "names no host", "mqtt://localhost"],
    ["mqtt://ex ample", "no valid host", "host name"],
    ["mqtt://256.1.1.1", "no valid host", "IPv4"],
    ["mqtt://[::1", "no valid host", "in brackets"],
    ["mqtt://[1.2.3.4]", "no valid host", "in brackets"],
    ["mqtt://::1:1883", "names no host", "mqtt://localhost"],
    ["mqtt://fe80::1:1883", "no valid port", "in brackets"],
    ["mqtt://host:", "no valid port", "1 to 65535"],
    ["mqtt://host:0", "no valid port", "1 to 65535"],
    ["mqtt://host:65536", "no valid port", "1 to 65535"],
    ["mqtt://host:1e3", "no valid port", "1 to 65535"],
    ["mqtt://host:mqtt", "no valid port", "1 to 65535"],
    ["mqtt://u:p/q@host", "no valid port", "%2F"],
    ["mqtt://host?a=b", 'no "/" before its topic', "mqtt://HOST:PORT/TOPIC"],
    ["mqtt://host/100%", "a topic that is not", "%25"],
    ["mqtt://host/%ff", "a topic that is not", "%25"],
    ["mqtt://host/\ud800", "a topic that is not", "%25"],
    ["mqtt://100%@host", "a user name that is not", "%25"],
    ["mqtt://u:100%@host", "a password that is not", "%25"],
    ["ws://host/a#b", "which a WebSocket URL cannot have", "Leave out"],
  ])("%j", (text, problem, remedy) => {
    const error = refusal(text);
    expect(error.message).toContain(problem);
    expect(error.remedy).toContain(remedy);
  });

  test.each([
    "http://ada:secret@host",
    "ada:secret@host",
    "mqtt://ada:secret@host:0",
    "mqtt://ada:secret@",
    "mqtt://ada:secret%@host",
    "mqtt://ada:secret/x@host",
    "mqtt://ada:x#secret@host",
    "ws://ada:secret@host/#a",
  ])("%j, without showing the password", (text) => {
    const error = refusal(text);
    expect(`${error.message} ${error.remedy}`).not.toContain("secret");
  });
});

const letters = fc.string({ unit: fc.constantFrom(..."abcxyz0189_-"), minLength: 1 });
const host = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6(), letters).filter((text) => {
  try {
    parseBrokerUrl(`mqtt://${text.includes(":") ? `[${text}]` : text}`);
    return true;
  } catch {
    return false; // Such as "1.2.3.4.5" or "xn--", which look like names and are none.
  }
});
const secrets = fc.record(
  { userName: fc.string({ unit: "binary" }), password: fc.string({ unit: "binary" }) },
  { requiredKeys: [] },
);
const tcpUrl = fc.record({
  scheme: fc.constantFrom("mqtt" as const, "mqtts" as const),
  host,
  port: fc.integer({ min: 1, max: 65_535 }),
  topic: fc.option(fc.string({ unit: "binary", minLength: 1 }), { nil: undefined }),
});
const webSocketUrl = fc.record({
  scheme: fc.constantFrom("ws" as const, "wss" as const),
  host,
  port: fc.integer({ min: 1, max: 65_535 }),
  path: fc.webPath().map((path) => new URL(`ws://host/${path}`).pathname),
});

describe("printed", () => {
  test("a URL keeps all but its secrets when it is read again", () => {
    fc.assert(
      fc.property(fc.oneof(tcpUrl, webSocketUrl), secrets, (url, credentials) => {
        const canonical = {
          ...url,
          host: parseBrokerUrl(`mqtt://${brokerAddressText({ ...url })}`).host,
        };
        expect(parseBrokerUrl(brokerUrlText({ ...canonical, ...credentials }))).toEqual(canonical);
      }),
    );
  });

  test("a URL shows neither user name nor password nor the query of a WebSocket", () => {
    expect(brokerUrlText(parseBrokerUrl("mqtt://ada:secret@[::1]/a b"))).toBe(
      "mqtt://[::1]:1883/a%20b",
    );
    expect(brokerUrlText(parseBrokerUrl("wss://ada@host/mqtt?token=secret"))).toBe(
      "wss://host:443/mqtt",
    );
  });

  test("an address has a port, and brackets around IPv6", () => {
    expect(brokerAddressText(parseBrokerUrl("mqtt://host"))).toBe("host:1883");
    expect(brokerAddressText(parseBrokerUrl("mqtt://[fe80::1%25eth0]"))).toBe(
      "[fe80::1%25eth0]:1883",
    );
  });

  test("credentials that were percent-encoded are read as they were", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.string({ unit: "binary" }),
        (user, password) => {
          const text = `mqtt://${encodeURIComponent(user)}:${encodeURIComponent(password)}@host`;
          expect(parseBrokerUrl(text)).toMatchObject({ host: "host", userName: user, password });
        },
      ),
    );
  });
});

test("any text is a broker URL that can be printed, or a UsageError", () => {
  const anything = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom(..."mqtws:/@[]#?%0a\ud800") }),
    fc.string({ unit: "binary" }).map((text) => `mqtt://${text}`),
    fc.string({ unit: fc.constantFrom(..."a:/@[]#?%0\\. ") }).map((text) => `ws://${text}`),
  );
  fc.assert(
    fc.property(anything, (text) => {
      let url: BrokerUrl;
      try {
        url = parseBrokerUrl(text);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        return;
      }
      expect(parseBrokerUrl(brokerUrlText(url))).toMatchObject({ host: url.host, port: url.port });
    }),
    { numRuns: 2000 },
  );
});
