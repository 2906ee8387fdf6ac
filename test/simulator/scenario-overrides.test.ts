import { describe, expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import type { ScenarioOverrides } from "../../simulator/src/scenario/override-draft.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

function read(yaml: string, overrides: ScenarioOverrides) {
  return readScenario(`version: 1\n${yaml}`, "my.yaml", overrides);
}

function mistakes(yaml: string, overrides: ScenarioOverrides): string[] {
  try {
    read(yaml, overrides);
  } catch (error) {
    if (error instanceof UsageError) return error.message.split("\n  ").slice(1);
    throw error;
  }
  return [];
}

describe("where the broker is", () => {
  const local = "broker: { url: mqtt://file.example:1884 }";
  test.each<[string, string, ScenarioOverrides, object | undefined]>([
    ["nothing", "", {}, undefined],
    ["--host", "", { host: "h" }, { scheme: "mqtt", host: "h", port: 1883 }],
    ["--port", "", { port: "1999" }, { scheme: "mqtt", host: "localhost", port: 1999 }],
    ["--host and --port", "", { host: "h", port: "1" }, { scheme: "mqtt", host: "h", port: 1 }],
    ["an IPv6 --host", "", { host: "::1" }, { scheme: "mqtt", host: "::1", port: 1883 }],
    ["--port over a file", local, { port: "5" }, { host: "file.example", port: 5 }],
    ["--host over a file", local, { host: "h" }, { scheme: "mqtt", host: "h", port: 1883 }],
    [
      "--host over a file with TLS",
      "broker: { url: mqtts://f, tls: { insecure: true } }",
      { host: "h" },
      { scheme: "mqtts", host: "h", port: 8883 },
    ],
    ["--host and --cafile", "", { host: "h", caFile: "ca" }, { scheme: "mqtts", port: 8883 }],
    [
      "--host over a file with WebSocket",
      "broker: { url: ws://f/path }",
      { host: "h" },
      { scheme: "ws", host: "h", port: 80, path: "/path" },
    ],
    ["--url over a file", local, { url: "ws://h:9" }, { scheme: "ws", host: "h", port: 9 }],
  ])("%s", (_title, yaml, overrides, url) => {
    const { broker } = read(yaml, overrides);
    if (url === undefined) expect(broker.url).toBeUndefined();
    else expect(broker.url).toMatchObject(url);
  });

  test("a URL on the command line may hold the user name and the password, which are no patterns", () => {
    const { broker } = read("broker: { passwordFile: x, username: y }", {
      url: "mqtt://us%40er%25c:50%25i@h",
    });
    expect(broker).toMatchObject({
      url: { host: "h", port: 1883 },
      username: "us@er%%c",
      password: "50%%i",
      passwordFile: undefined,
    });
  });

  test("--username wins over the URL's", () => {
    const { broker } = read("", { url: "mqtt://a:b@h", username: "mine" });
    expect(broker).toMatchObject({ username: "mine", password: "b" });
  });

  test("a password takes the place of the file's, whichever that was", () => {
    const own = { username: "u", password: "p" };
    expect(read("broker: { passwordFile: x }", own).broker).toMatchObject({
      password: "p",
      passwordFile: undefined,
    });
    const file = { passwordFile: "secret.txt" };
    expect(read("broker: { username: u, password: x }", file).broker).toMatchObject({
      password: undefined,
      passwordFile: "secret.txt",
    });
  });

  test("--keepalive counts in seconds, as mosquitto's does, or is a duration", () => {
    expect(read("", { keepAlive: "15" }).broker.keepAliveSeconds).toBe(15);
    expect(read("", { keepAlive: "2m" }).broker.keepAliveSeconds).toBe(120);
  });

  test("the flags of TLS reach their keys", () => {
    const files = { caFile: "a", certFile: "b", keyFile: "c" };
    const tls = { ...files, insecure: true, servername: "other", alpn: "mqtt" };
    expect(read("", { url: "mqtts://h", ...tls }).broker.tls).toMatchObject(tls);
  });

  test("a relative path of the command line does not start at the scenario's folder", () => {
    const text = "version: 1\nbroker: { url: mqtts://h, tls: { certFile: c, keyFile: k } }";
    const { broker } = readScenario(text, "sites/my.yaml", { caFile: "ca.pem" });
    expect(broker.tls).toMatchObject({ caFile: "ca.pem", certFile: "sites/c" });
  });
});

describe("the fleet", () => {
  test("every value reaches its key, in every group", () => {
    const { seed, groups } = read("devices: [{ count: 1 }, { count: 1 }]", {
      seed: "7",
      id: "x%i",
      profile: "tasmota",
      interval: "5s",
      jitter: "0%",
      qos: "2",
      retain: true,
    });
    expect(seed).toBe(7);
    expect(groups).toHaveLength(2);
    for (const group of groups) {
      expect(group).toMatchObject({
        id: "x%i",
        profile: "tasmota",
        publish: { intervalMs: 5000, jitter: 0, qos: 2, retain: true },
      });
    }
  });

  test.each([
    ["", "250", [250]],
    ["devices: [{ count: 90 }, { count: 10 }]", "1000", [900, 100]],
    ["devices: [{ count: 90 }, { count: 10 }]", "100", [90, 10]],
    ["devices: [{ count: 1 }, { count: 1 }, { count: 1 }]", "10", [3, 4, 3]],
    ["devices: [{ count: 1000 }, { count: 1 }, {}]", "3", [1, 1, 1]],
  ])("%j with --count %s has groups of %j", (yaml, count, counts) => {
    expect(read(yaml, { count }).groups.map((group) => group.count)).toEqual(counts);
  });

  test("--startnumber numbers all groups anew, so that two machines share a fleet", () => {
    const yaml = "devices: [{ count: 10 }, { count: 10, firstNumber: 500 }]";
    const { groups } = read(yaml, { firstNumber: "21" });
    expect(groups.map(({ firstNumber }) => firstNumber)).toEqual([21, 31]);
  });
});

describe("the phases", () => {
  test("--connrate and --duration change the phases that a scenario has if it says none", () => {
    expect(read("", { rate: "20", duration: "1m" }).phases).toMatchObject([
      { kind: "connect", ratePerSecond: 20 },
      { kind: "steady", durationMs: 60_000 },
    ]);
  });

  test("--connrate and --duration leave the other phases alone", () => {
    const yaml =
      "phases: [{ connect: {} }, { fault: { kind: clean }, duration: 9s }, { name: calm, duration: 9s }]";
    expect(read(yaml, { rate: "20/s", duration: "1s" }).phases).toMatchObject([
      { ratePerSecond: 20 },
      { durationMs: 9000 },
      { name: "calm", durationMs: 1000 },
    ]);
  });

  test.each([
    ["phases: [{ connect: {} }]", 0],
    ["phases: [{ connect: {} }, { duration: 1s }, { duration: 1s }]", 2],
  ])("--duration says that %j has %d steady phases", (yaml, count) => {
    expect(mistakes(yaml, { duration: "5s" })).toEqual([
      `--duration  is for a scenario with one steady phase, but this one has ${count}; change the file`,
    ]);
  });
});

describe("mistakes", () => {
  test("each is reported with the name of its flag", () => {
    const lines = mistakes("", {
      count: "abc",
      qos: "7",
      host: "x y",
      duration: "60",
      rate: "0",
      keepAlive: "99999",
      seed: "-4",
    });
    expect(lines.map((line) => line.split("  ")[0])).toEqual([
      "--seed",
      "--host",
      "--keepalive",
      "--count",
      "--qos",
      "--connrate",
      "--duration",
    ]);
    expect(lines).toContain("--qos  devices[0].publish.qos must be 0, 1 or 2, but is 7");
    expect(lines).toContain(
      '--duration  phases[1].duration must be a duration from 100ms to 168h, such as 500ms, 10s, 2m or 1h, but is "60"',
    );
  });

  test("a flag that contradicts the file is named, not the line", () => {
    const yaml = "phases: [{ connect: {} }, { fault: { kind: hang }, duration: 5s }]";
    expect(mistakes(yaml, { keepAlive: "0" })).toEqual([
      '--keepalive  broker.keepAlive is 0 (off), so the broker would never notice the hang of phase "hang"',
    ]);
    expect(mistakes("", { insecure: true })).toEqual([
      "--insecure  broker.tls.insecure needs a broker.url that begins with mqtts:// or wss://",
    ]);
  });

  test("--url with --host is one too many", () => {
    expect(mistakes("", { url: "mqtt://a", host: "b" })).toEqual([
      "--url  says where the broker is; use it without --host and --port",
    ]);
  });

  test("--count smaller than the number of groups is refused", () => {
    expect(mistakes("devices: [{}, {}]", { count: "1" })).toEqual([
      "--count  must be at least 2: the scenario has as many groups",
    ]);
  });

  test("a wrong count in the file is not blamed on --count", () => {
    expect(mistakes("devices: [{ count: many }, {}]", { count: "10" })).toEqual([
      'my.yaml:2:20  devices[0].count must be a whole number from 1 to 100000, but is "many"',
    ]);
  });

  test.each(["- 1", "devices: 5", "devices: []", "phases: 5", "broker: 5", "devices: [5]"])(
    "a file that is %j is reported as it is, whatever the flags say",
    (text) => {
      const everything: ScenarioOverrides = { count: "5", rate: "5", host: "h", qos: "1" };
      const document = text.startsWith("-") ? text : `version: 1\n${text}`;
      const place = text.startsWith("-") ? "my.yaml:1:1  " : "my.yaml:2:";
      expect(() => readScenario(document, "my.yaml", everything)).toThrow(place);
    },
  );
});
