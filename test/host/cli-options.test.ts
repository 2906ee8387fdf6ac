/** The connection flags: what they come to, what a variable may say instead, and which mistakes are named. */

import { Command } from "commander";
import { beforeEach, describe, expect, test } from "vitest";
import { createOutput } from "../../host/src/cli/command.ts";
import {
  addConnectionOptions,
  type ConnectionFlags,
  type ConnectionSettings,
  connectionSettings,
  qosOption,
  readQos,
  readTopicName,
  retainOption,
  sessionOption,
} from "../../host/src/cli/options.ts";
import type { MqttClientOptions } from "../../host/src/client/client-options.ts";
import { UsageError } from "../../host/src/errors.ts";
import { realWorld } from "../../host/src/world.ts";
import { RecordingContext } from "../support/run-cli.ts";

let context: RecordingContext;

beforeEach(() => {
  context = new RecordingContext();
  context.world = { ...realWorld, random: () => 0.5 };
});

/** Parses `args` as a command with all connection flags and -c would. */
function settings(...args: string[]): ConnectionSettings {
  const command = new Command().helpOption("--help").exitOverride();
  addConnectionOptions(command).addOption(sessionOption());
  command.parse(args, { from: "user" });
  return connectionSettings(command.opts<ConnectionFlags>(), context, createOutput(context, {}));
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

function mistake(...args: string[]): UsageError {
  try {
    settings(...args);
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error(`no UsageError for ${args.join(" ")}`);
}

test("without flags it is an anonymous client of a broker on this machine", () => {
  expect(settings()).toEqual({
    url: { scheme: "mqtt", host: "localhost", port: 1883 },
    tls: undefined,
    clientId: "wasmqtt-80000000",
    username: undefined,
    password: undefined,
    keepAliveSeconds: 60,
    cleanSession: true,
    will: undefined,
  });
  expect(context.stderr.text).toBe("");
});

describe("where the broker is", () => {
  test.each([
    [["-h", "example.org"], "mqtt", "example.org", 1883],
    [["--host", "example.org", "--port", "1884"], "mqtt", "example.org", 1884],
    [["--hostname", "example.org"], "mqtt", "example.org", 1883],
    [["-h", "::1"], "mqtt", "::1", 1883],
    [["-h", "[::1]"], "mqtt", "::1", 1883],
    [["-p", "8883"], "mqtts", "localhost", 8883],
    [["--insecure"], "mqtts", "localhost", 8883],
    [["--insecure", "-p", "1884"], "mqtts", "localhost", 1884],
    [["-L", "mqtts://example.org"], "mqtts", "example.org", 8883],
  ])("%j", (args, scheme, host, port) => {
    expect(settings(...args).url).toMatchObject({ scheme, host, port });
  });

  test("a WebSocket URL keeps its path", () => {
    expect(settings("--url", "ws://example.org:8083/x").url.path).toBe("/x");
  });

  test("a flag wins over a variable, a variable over the default", () => {
    context.env["WASMQTT_URL"] = "ws://from-url";
    context.env["WASMQTT_PORT"] = "1999";
    expect(settings().url).toMatchObject({ scheme: "ws", host: "from-url" });
    expect(settings("-h", "flag").url).toEqual({ scheme: "mqtt", host: "flag", port: 1999 });
    expect(settings("-L", "mqtt://flag").url).toMatchObject({ host: "flag", port: 1883 });
    context.env["WASMQTT_URL"] = ""; // as good as none
    context.env["WASMQTT_HOST"] = "from-host";
    expect(settings().url).toMatchObject({ host: "from-host", port: 1999 });
  });

  test.each([
    [["-L", "mqtt://a", "-h", "b"], /say twice/, /--url alone/],
    [["-L", "localhost"], /has no scheme/, /mqtt:\/\/HOST/],
    [["-h", "mqtt://a"], /no host name/, /--url mqtt:\/\/a/],
    [["-h", "a/b"], /no host name/, /--host localhost/],
    [["-h", ""], /no host name/, /--host localhost/],
    [["-p", "/dev/ttyUSB0"], /serial port/, /--device/],
    [["-p", "COM3"], /serial port/, /--device/],
    [["-p", "0"], /--port "0"/, /1 to 65535/],
    [["-p", "65536"], /--port "65536"/, /1 to 65535/],
    [["-p", "12x"], /--port "12x"/, /whole number/],
  ])("%j is a mistake", (args, problem, remedy) => {
    const error = mistake(...args);
    expect(error.message).toMatch(problem);
    expect(error.remedy).toMatch(remedy);
  });
});

describe("TLS", () => {
  test("files come as their bytes", () => {
    for (const name of ["ca", "cert", "key"]) context.files.set(`${name}.pem`, `PEM ${name}`);
    const { url, tls } = settings(
      ...["--cafile", "ca.pem", "--cert", "cert.pem", "--key", "key.pem", "--tls-alpn", "mqtt"],
    );
    expect(url.scheme).toBe("mqtts");
    expect([text(tls?.ca), text(tls?.cert), text(tls?.key)]).toEqual([
      "PEM ca",
      "PEM cert",
      "PEM key",
    ]);
    expect(tls).toMatchObject({ insecure: false, alpn: "mqtt" });
    expect(text(settings("--ca", "ca.pem").tls?.ca)).toBe("PEM ca");
  });

  test("a variable names the CA, and is of no interest to an unencrypted URL", () => {
    context.files.set("ca.pem", "PEM ca");
    context.env["WASMQTT_CAFILE"] = "ca.pem";
    expect(settings().url.scheme).toBe("mqtts");
    expect(text(settings("-L", "wss://a").tls?.ca)).toBe("PEM ca");
    expect(settings("-L", "mqtt://a").tls).toBeUndefined();
  });

  test("--insecure is said loudly, also with --quiet", () => {
    expect(settings("--insecure").tls?.insecure).toBe(true);
    expect(context.stderr.text).toMatch(/warning: --insecure: .*not checked/);
  });

  test.each(["--cafile", "--cert", "--key"])("%s of a missing file is a mistake", (flag) => {
    const error = mistake(flag, "missing.pem");
    expect(error.message).toMatch(/"missing.pem" cannot be read: there is no such file/);
  });
});

describe("who the client is", () => {
  test.each([
    [["-i", "sensor"], "sensor"],
    [["--client-id", "sensor"], "sensor"],
    [["-i", ""], ""],
    [["-I", "lab-"], "lab-80000000"],
  ])("%j", (args, clientId) => {
    expect(settings(...args).clientId).toBe(clientId);
  });

  test("-c keeps the session of a named client", () => {
    expect(settings("-c", "-i", "me")).toMatchObject({ cleanSession: false, clientId: "me" });
    context.env["WASMQTT_ID"] = "from-variable";
    expect(settings("-c").clientId).toBe("from-variable");
  });

  test("user name and password come from flags, the URL, variables or files, in this order", () => {
    const login = (...args: string[]) => {
      const { username, password } = settings(...args);
      return [username, text(password)];
    };
    context.files.set("password", "from file\r\n");
    context.env["WASMQTT_USERNAME"] = "env";
    context.env["WASMQTT_PASSWORD_FILE"] = "password";
    expect(login()).toEqual(["env", "from file"]);
    context.env["WASMQTT_PASSWORD"] = "env pw";
    expect(login()).toEqual(["env", "env pw"]);
    expect(login("-L", "mqtt://url:url%20pw@host")).toEqual(["url", "url pw"]);
    expect(login("-L", "mqtt://url:x@host", "-u", "me", "-P", "pw")).toEqual(["me", "pw"]);
    expect(login("-u", "me", "--password-file", "password")).toEqual(["me", "from file"]);
  });

  test("a password file keeps every byte but the last line end", () => {
    context.files.set("binary", Uint8Array.from([0xff, 0x0a, 0x00, 0x0a]));
    const { password } = settings("-u", "me", "--password-file", "binary");
    expect([...(password ?? [])]).toEqual([0xff, 0x0a, 0x00]);
  });

  test.each([
    [["-i", "a", "-I", "b"], /cannot go together/],
    [["-c"], /needs a client id/],
    [["-c", "-i", ""], /needs a client id/],
    [["-P", "secret"], /needs a user name/], // [MQTT-3.1.2-22]
    [["-u", "a", "-P", "b", "--password-file", "c"], /two passwords/],
    [["-u", "a", "--password-file", "missing"], /password file "missing" cannot be read/],
  ])("%j is a mistake", (args, problem) => {
    expect(mistake(...args).message).toMatch(problem);
  });
});

describe("keep alive and version", () => {
  test.each([
    ["0", 0],
    ["65535", 65_535],
  ])("-k %s", (argument, seconds) => {
    expect(settings("-k", argument).keepAliveSeconds).toBe(seconds);
  });

  test.each(["3.1.1", "311", "4", "mqttv311"])("-V %s is what we speak", (version) => {
    expect(settings("-V", version).keepAliveSeconds).toBe(60);
  });

  test.each([
    [["-k", "65536"], /--keepalive "65536"/],
    [["-k", "-1"], /--keepalive "-1"/],
    [["-V", "5"], /MQTT 5 is not spoken/],
    [["-V", "mqttv31"], /MQTT 3.1 is not spoken/],
    [["-V", "seven"], /"seven" is not known/],
  ])("%j is a mistake", (args, problem) => {
    expect(mistake(...args).message).toMatch(problem);
  });
});

describe("the Last Will", () => {
  test("has a topic, a payload, a QoS and a retain flag", () => {
    const { will } = settings(
      ...["--will-topic", "a/status", "--will-payload", "offline"],
      ...["--will-qos", "1", "--will-retain"],
    );
    expect(will).toMatchObject({ topic: "a/status", qos: 1, retain: true });
    expect(text(will?.payload)).toBe("offline");
  });

  test("needs a topic only", () => {
    const { will } = settings("--will-topic", "a");
    expect(will).toEqual({ topic: "a", payload: Buffer.alloc(0), qos: 0, retain: false });
  });

  test.each([
    [["--will-payload", ""], /has no topic/],
    [["--will-qos", "0"], /has no topic/],
    [["--will-retain"], /has no topic/],
    [["--will-topic", "a/#"], /no topic to publish on/],
    [["--will-topic", ""], /no topic to publish on/],
    [["--will-topic", "a", "--will-qos", "3"], /--will-qos "3"/],
  ])("%j is a mistake", (args, problem) => {
    expect(mistake(...args).message).toMatch(problem);
  });
});

test("the settings are options of MqttClient", () => {
  const options: MqttClientOptions = settings("-h", "example.org", "--will-topic", "a");
  expect(options.clientId).toBe("wasmqtt-80000000");
});

test("message flags are shared by commands", () => {
  const command = new Command().addOption(qosOption()).addOption(retainOption());
  command.parse(["-q", "2", "-r"], { from: "user" });
  expect(command.opts()).toEqual({ qos: "2", retain: true });
  expect(readQos("2", "--qos")).toBe(2);
  expect(() => readQos("", "--qos")).toThrow(UsageError);
  expect(readTopicName("/", "--topic")).toBe("/");
  expect(() => readTopicName("x".repeat(65_536), "--topic")).toThrow(UsageError);
});
