import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import type { ScenarioOverrides } from "../../simulator/src/scenario/override-draft.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

/** The mistakes that are reported for a text, one a line, without the sentence above them. */
function mistakes(text: string, overrides: ScenarioOverrides = {}): string[] {
  try {
    readScenario(text, "my.yaml", overrides);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.message.split("\n  ").slice(1);
  }
  return [];
}

describe("a file with little in it", () => {
  test("one line is a scenario: 100 sensors for half a minute on a broker of their own", () => {
    expect(readScenario("version: 1", "sites/my.yaml")).toEqual({
      name: "my",
      description: "",
      seed: 1,
      broker: {
        url: undefined,
        keepAliveSeconds: 30,
        responseTimeoutMs: 10_000,
        username: undefined,
        password: undefined,
        passwordFile: undefined,
        localAddresses: [],
        tls: {
          caFile: undefined,
          certFile: undefined,
          keyFile: undefined,
          insecure: false,
          servername: undefined,
          alpn: undefined,
        },
      },
      groups: [
        {
          name: "sensors",
          count: 100,
          id: "mote-%05i",
          firstNumber: 1,
          cleanSession: true,
          profile: "plain",
          publish: {
            intervalMs: 10_000,
            jitter: 0.1,
            qos: 1,
            retain: false,
            deadBandMilliCelsius: 0,
            outboxCount: 4,
          },
          temperature: { mean: 21.5, amplitude: 3, periodMs: 86_400_000, drift: 0.5, noise: 0.1 },
          reconnect: { afterMs: 0, baseMs: 1000, maxMs: 30_000 },
        },
      ],
      phases: [
        { kind: "connect", name: "connect", ratePerSecond: 100, timeoutMs: 60_000 },
        { kind: "steady", name: "steady", durationMs: 30_000 },
      ],
      observe: { wills: true, audit: true, graceMs: 8000 },
      thresholds: [],
      text: "version: 1\nname: my\ndevices:\n  - {}\n",
    });
  });

  test("an empty file says what is missing", () => {
    expect(mistakes("")).toEqual(["my.yaml:1:1  version is missing; it must be 1"]);
  });

  test("groups that say nothing have names and numbers of their own", () => {
    const { groups } = readScenario(
      "version: 1\ndevices: [{ count: 5 }, { count: 3 }, { firstNumber: 50 }, {}]",
      "my.yaml",
    );
    expect(groups.map(({ name, firstNumber }) => [name, firstNumber])).toEqual([
      ["sensors", 1],
      ["sensors-2", 6],
      ["sensors-3", 50],
      ["sensors-4", 150],
    ]);
  });
});

describe("a file that says everything", () => {
  const text = `
version: 1
name: everything
description: |
  Two lines
  of text
seed: 4294967295
broker:
  url: wss://broker.example:9001/mqtt
  keepAlive: 1m
  responseTimeout: 1500
  username: user-%i
  password: "%c-100%%"
  tls: { caFile: ca.pem, certFile: /etc/cert.pem, keyFile: keys/key.pem, servername: other, alpn: mqtt }
devices:
  - group: garden
    count: 2
    id: garden-%03i
    firstNumber: 9
    cleanSession: false
    profile: homie
    publish: { interval: 100ms, jitter: 50%, qos: 2, retain: true, deadBand: 0.25 }
    temperature: { mean: -4, amplitude: 1.5, period: 1h, drift: 0, noise: 0 }
    reconnect: { after: 1s, base: 2s, max: 1m }
phases:
  - { name: ramp, connect: { rate: 0.5/s, timeout: 2m } }
  - { fault: { kind: tcp-reset, target: 50%, spread: 1s, away: 0s }, duration: 5s }
  - { name: gone, fault: { kind: hang, target: 1 }, duration: 5s }
  - { commands: { perDevice: 3, qos: 2, text: interval 500, target: 1, whileAway: true, timeout: 9s } }
  - { brokerRestart: { downtime: 1s, keepState: false }, duration: 5s }
  - { name: calm, duration: 1.5s }
observe: { wills: false, audit: false, grace: 250ms }
`;
  const scenario = readScenario(text, "sites/everything.yaml");

  test("durations, rates and percentages become numbers with units", () => {
    expect(scenario.phases).toEqual([
      { kind: "connect", name: "ramp", ratePerSecond: 0.5, timeoutMs: 120_000 },
      {
        kind: "fault",
        name: "tcp-reset",
        fault: "tcp-reset",
        target: { share: 0.5 },
        spreadMs: 1000,
        awayMs: 0,
        durationMs: 5000,
      },
      {
        kind: "fault",
        name: "gone",
        fault: "hang",
        target: { count: 1 },
        spreadMs: 0,
        awayMs: 3000,
        durationMs: 5000,
      },
      {
        kind: "commands",
        name: "commands",
        perDevice: 3,
        qos: 2,
        text: "interval 500",
        target: { count: 1 },
        whileAway: true,
        timeoutMs: 9000,
      },
      {
        kind: "broker-restart",
        name: "broker-restart",
        downtimeMs: 1000,
        keepState: false,
        durationMs: 5000,
      },
      { kind: "steady", name: "calm", durationMs: 1500 },
    ]);
    expect(scenario.groups).toEqual([
      {
        name: "garden",
        count: 2,
        id: "garden-%03i",
        firstNumber: 9,
        cleanSession: false,
        profile: "homie",
        publish: {
          intervalMs: 100,
          jitter: 0.5,
          qos: 2,
          retain: true,
          deadBandMilliCelsius: 250,
          outboxCount: 20,
        },
        temperature: { mean: -4, amplitude: 1.5, periodMs: 3_600_000, drift: 0, noise: 0 },
        reconnect: { afterMs: 1000, baseMs: 2000, maxMs: 60_000 },
      },
    ]);
    expect(scenario.description).toBe("Two lines\nof text");
    expect(scenario.observe).toEqual({ wills: false, audit: false, graceMs: 250 });
  });

  test("the broker's URL is taken apart, and relative paths start at the scenario's folder", () => {
    expect(scenario.broker).toEqual({
      url: { scheme: "wss", host: "broker.example", port: 9001, path: "/mqtt" },
      keepAliveSeconds: 60,
      responseTimeoutMs: 1500,
      username: "user-%i",
      password: "%c-100%%",
      passwordFile: undefined,
      localAddresses: [],
      tls: {
        caFile: "sites/ca.pem",
        certFile: "/etc/cert.pem",
        keyFile: "sites/keys/key.pem",
        insecure: false,
        servername: "other",
        alpn: "mqtt",
      },
    });
  });

  test("JSON is read as well, tabs and $schema included", () => {
    const json = JSON.stringify({ $schema: "./scenario.v1.json", version: 1, seed: 5 }, null, "\t");
    expect(readScenario(json, "my.json")).toMatchObject({ name: "my", seed: 5 });
  });

  test("an anchor may be used again, and each use is a thing of its own", () => {
    const { groups } = readScenario(
      "version: 1\ndevices:\n  - &a { count: 2, publish: { qos: 2 } }\n  - *a",
      "my.yaml",
      { count: "7" },
    );
    expect(groups.map(({ count, publish }) => [count, publish.qos])).toEqual([
      [4, 2],
      [3, 2],
    ]);
  });
});

describe("mistakes", () => {
  test("all are reported at once, each with line, column, key, value and what is allowed", () => {
    const text = `version: 1
conut: 5
seed: -1
broker: { keepalive: 5s, url: tcp://h }
devices:
  - count: many
    publish: { qos: 5, interval: 10, jitter: 0.1, retain: yes }
phases:
  - connect:
  - fault: { kind: tcp-rest, target: 120% }
    durtion: 5s
`;
    expect(mistakes(text)).toEqual([
      'my.yaml:2:1  the scenario has an unknown key "conut". Allowed: $schema, version, name, description, seed, broker, defaults, devices, phases, observe, thresholds',
      "my.yaml:3:7  seed must be a whole number from 0 to 4294967295, but is -1",
      'my.yaml:4:11  broker has an unknown key "keepalive". Did you mean "keepAlive"? Allowed: url, keepAlive, responseTimeout, username, password, passwordFile, localAddresses, tls',
      'my.yaml:4:31  broker.url is wrong. The broker URL "tcp://h" starts with tcp://, which is no scheme of MQTT. Write mqtt:// for MQTT over TCP',
      'my.yaml:6:12  devices[0].count must be a whole number from 1 to 100000, but is "many"',
      "my.yaml:7:21  devices[0].publish.qos must be 0, 1 or 2, but is 5",
      "my.yaml:7:34  devices[0].publish.interval must be a duration from 100ms to 24h, such as 500ms, 10s, 2m or 1h, or 0s for as fast as possible, but is 10",
      "my.yaml:7:46  devices[0].publish.jitter must be a percentage from 0% to 100%, such as 10%, but is 0.1",
      'my.yaml:7:59  devices[0].publish.retain must be true or false, but is "yes"',
      "my.yaml:9:13  phases[0].connect must be a mapping of keys (rate, timeout), but is empty",
      "my.yaml:10:5  phases[1].duration is missing; it must be a duration from 100ms to 168h, such as 500ms, 10s, 2m or 1h",
      'my.yaml:10:20  phases[1].fault.kind must be one of tcp-close, tcp-reset, power-loss, hang, takeover, clean, protocol-error (did you mean tcp-reset?), but is "tcp-rest"',
      'my.yaml:10:38  phases[1].fault.target must be a percentage of the devices from 0% to 100%, such as 20%, or how many, but is "120%"',
      'my.yaml:11:5  phases[1] has an unknown key "durtion". Did you mean "duration"? Allowed: name, fault, duration',
    ]);
  });

  test("the error names the file, how many there are, and a remedy", () => {
    const read = () => readScenario("version: 2", "my.yaml");
    expect(read).toThrow(
      "The scenario my.yaml has a mistake:\n  my.yaml:1:10  version must be 1, but is 2",
    );
    expect(read).toThrow(expect.objectContaining({ remedy: expect.stringMatching(/^Correct/) }));
  });

  test("of very many mistakes the first are shown", () => {
    const text = `version: 1\n${Array.from({ length: 30 }, (_, index) => `x${index}: 1`).join("\n")}`;
    const lines = mistakes(text);
    expect(lines).toHaveLength(21);
    expect(lines[0]).toMatch(/^my.yaml:2:1 /);
    expect(lines.at(-1)).toBe("and 10 more");
  });

  test.each([
    [
      "a phase of which nobody knows what it does",
      "- name: x",
      "must have one of connect, spike, fault",
    ],
    ["a phase that is no mapping", "- 5", "must have one of connect, spike, fault"],
    [
      "a phase that does two things",
      "- { connect: {}, fault: { kind: hang } }",
      "does several things at once (connect, fault)",
    ],
    [
      "a phase whose key is misspelt",
      "- { falt: { kind: hang }, duration: 5s }",
      'has an unknown key "falt". Did you mean "fault"?',
    ],
  ])("%s is explained", (_title, phase, message) => {
    expect(mistakes(`version: 1\nphases:\n  ${phase}`).join("\n")).toContain(
      `phases[0] ${message}`,
    );
  });

  test("a password is never shown", () => {
    const text =
      "version: 1\nbroker: { url: 'mqtt://me:secret-1@h', username: me, password: [secret-2] }";
    const lines = mistakes(text);
    expect(lines).toHaveLength(2);
    expect(lines.join("\n")).not.toContain("secret");
  });

  test("control characters of a file do not reach the terminal", () => {
    const lines = mistakes('version: 1\nname: "\\e[2J"\n"\\e[31m": 1');
    expect(lines).toHaveLength(2);
    expect(lines.join("")).toMatch(/^\P{Cc}*$/u);
  });

  test("a long value is cut off", () => {
    expect(
      mistakes(`version: 1\nseed: ${"9".repeat(5)}${"x".repeat(5000)}`)[0]?.length,
    ).toBeLessThan(200);
  });
});

describe("texts that are no YAML, or no honest one", () => {
  test.each([
    ["an open bracket", "version: [", /^my.yaml:1:\d+ {2}Flow sequence/],
    ["the same key twice", "version: 1\nversion: 1", /^my.yaml:2:1 {2}Map keys must be unique/],
    ["two documents", "version: 1\n---\nversion: 1", /^my.yaml:2:1 {2}/],
    ["an unknown anchor", "version: *x", /Unresolved alias/],
    ["an anchor inside itself", "&a [*a]", /The anchor a contains itself/],
    ["an unknown tag", "version: !!js/function 1", /^my.yaml:1:\d+ {2}Unresolved tag/],
    ["a key that is a list", "? [a]\n: 1", /all keys must be strings/],
    ["a list", "- 1", /^my.yaml:1:1 {2}the scenario must be a mapping of keys/],
    ["deep nesting", "[".repeat(60_000), /nested too deeply/],
  ])("%s is a mistake with a place", (_title, text, message) => {
    const lines = mistakes(text);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
  });

  test("aliases that multiply are refused", () => {
    const levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
    for (const [index, name] of [..."bcdefgh"].entries()) {
      const below = "abcdefg"[index];
      levels.push(`${name}: &${name} [${Array(10).fill(`*${below}`).join(", ")}]`);
    }
    expect(mistakes(levels.join("\n"))[0]).toMatch(/Excessive alias count/);
  });

  test("very many aliases are refused quickly", () => {
    const startedAt = performance.now();
    expect(mistakes(`[&a 1${", *a".repeat(15_000)}]`)).toEqual([
      "my.yaml:1:1  More than 100 aliases",
    ]);
    // Unbounded, looking for their anchors takes about a minute.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test("a file that is too large is not read", () => {
    expect(() => readScenario("#".repeat(65_537), "my.yaml")).toThrow(/65537 characters/);
  });

  test("__proto__ is an unknown key like any other", () => {
    expect(mistakes("version: 1\n__proto__: { seed: 5 }")[0]).toMatch(/unknown key "__proto__"/);
  });

  test("any text is a scenario or a UsageError", () => {
    const words = fc.constantFrom(
      ..."version: 1|devices:|  - count: 5|  - |phases:|connect: {}|&a|*a|{|}|[|]|'|\"|: |, |\n|%|#|---|!!|? |~|.nan|0x|<<: *a".split(
        "|",
      ),
    );
    const text = fc.array(fc.oneof(words, fc.string()), { maxLength: 30 });
    fc.assert(
      fc.property(text, (parts) => {
        try {
          readScenario(parts.join(""), "my.yaml");
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("what groups share", () => {
  const shared = `version: 1
defaults:
  cleanSession: false
  publish: { interval: 2s, qos: 2 }
devices:
  - { group: many, count: 7 }
  - { group: quick, publish: { interval: 1s } }
`;

  test("stands in defaults, and each group may say something else", () => {
    const { groups } = readScenario(shared, "my.yaml");
    expect(groups.map(({ count, cleanSession }) => [count, cleanSession])).toEqual([
      [7, false],
      [100, false],
    ]);
    expect(groups.map(({ publish }) => [publish.intervalMs, publish.qos])).toEqual([
      [2000, 2],
      [1000, 2],
    ]);
  });

  test("holds for the one group of a file that names none", () => {
    const { groups } = readScenario("version: 1\ndefaults: { count: 3 }\n", "my.yaml");
    expect(groups.map(({ count }) => count)).toEqual([3]);
  });

  test("a flag wins over it", () => {
    const { groups } = readScenario(shared, "my.yaml", { qos: "0" });
    expect(groups.map(({ publish }) => publish.qos)).toEqual([0, 0]);
  });

  test("a mistake in it is reported once, and where it stands", () => {
    const read = () => readScenario(shared.replace("qos: 2", "qos: 3, quos: 1"), "my.yaml");
    expect(read).toThrow("2 mistakes");
    expect(read).toThrow("my.yaml:4:33  defaults.publish.qos must be");
    expect(read).toThrow('my.yaml:4:36  defaults.publish has an unknown key "quos"');
  });

  test.each(["7", "[]"])("it is a mapping, not %s", (text) => {
    const read = () => readScenario(`version: 1\ndefaults: ${text}\n`, "my.yaml");
    expect(read).toThrow("my.yaml:2:11  defaults must be a mapping");
  });
});
