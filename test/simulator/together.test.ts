/** The parts of a fleet meet: what they sum, draw and do together, and that none waits for one that is gone. */

import { describe, expect, test, vi } from "vitest";
import { Gathering, type GatheringOptions } from "../../simulator/src/fleet/together.ts";
import type { BrokerRestartPhase } from "../../simulator/src/scenario/scenario.ts";

const RESTART: BrokerRestartPhase = {
  kind: "broker-restart",
  name: "restart",
  downtimeMs: 0,
  keepState: true,
  durationMs: 0,
};

function gatheringOf(partCount: number, restart: () => Promise<boolean> = async () => true) {
  const options = {
    partCount,
    draw: vi.fn<GatheringOptions["draw"]>(async () => [4, 2]),
    restartBroker: vi.fn<GatheringOptions["restartBroker"]>(restart),
    publish: vi.fn<GatheringOptions["publish"]>(async () => {}),
    phaseBegins: vi.fn<GatheringOptions["phaseBegins"]>(),
    problem: vi.fn<GatheringOptions["problem"]>(),
  };
  const gathering = new Gathering(options);
  const members = Array.from({ length: partCount }, (_, index) => gathering.member(index));
  return { options, gathering, members };
}

describe("the parts", () => {
  test("get the sum of what all give, however often, once the last has given", async () => {
    const { members } = gatheringOf(3);
    let isSummed = false;
    const early = members.slice(1).map((member, index) => member.sum(10 ** index));
    void Promise.all(early).then(() => {
      isSummed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isSummed).toBe(false);
    expect(await members[0]?.sum(100)).toBe(111);
    expect(await Promise.all(early)).toEqual([111, 111]);
    expect(await Promise.all(members.map((member) => member.sum(2)))).toEqual([6, 6, 6]);
  });

  test("one that goes ahead is not taken for another of the round before", async () => {
    const { members } = gatheringOf(2);
    const [ahead, behind] = members as [(typeof members)[0], (typeof members)[0]];
    const rounds = (async () => [await ahead.sum(1), await ahead.sum(10), await ahead.sum(100)])();
    const others: number[] = [];
    for (const count of [2, 20, 200]) {
      await new Promise((resolve) => setImmediate(resolve));
      others.push(await behind.sum(count));
    }
    expect(await rounds).toEqual([3, 30, 300]);
    expect(others).toEqual([3, 30, 300]);
  });

  test("draw once for all, and restart the broker once", async () => {
    const { members, options } = gatheringOf(3);
    const target = { count: 2 };
    const drawn = await Promise.all(members.map((member) => member.draw(target)));
    expect(drawn).toEqual([
      [4, 2],
      [4, 2],
      [4, 2],
    ]);
    expect(options.draw.mock.calls).toEqual([[target]]);
    const back = await Promise.all(members.map((member) => member.restartBroker(RESTART)));
    expect(back).toEqual([true, true, true]);
    expect(options.restartBroker.mock.calls).toEqual([[RESTART]]);
  });

  test("all learn why what is done for all did not work", async () => {
    const { members } = gatheringOf(2, () => Promise.reject(new Error("the port is taken")));
    const answers = await Promise.allSettled(members.map((one) => one.restartBroker(RESTART)));
    const reason = new Error("the port is taken");
    expect(answers).toEqual([
      { status: "rejected", reason },
      { status: "rejected", reason },
    ]);
  });

  test("publish and tell problems each for itself; the first alone says which phase begins", async () => {
    const { members, options } = gatheringOf(2);
    for (const member of members) {
      member.phaseBegins("ramp", "connect");
      member.problem("a sentence");
      await member.publish("cmd", "report", 1);
    }
    expect(options.phaseBegins.mock.calls).toEqual([["ramp", "connect"]]);
    expect(options.problem).toHaveBeenCalledTimes(2);
    expect(options.publish).toHaveBeenCalledTimes(2);
  });

  test("of one are served at once", async () => {
    const { members } = gatheringOf(1);
    expect(await members[0]?.sum(5)).toBe(5);
    expect(await members[0]?.draw({ share: 1 })).toEqual([4, 2]);
  });
});

describe("when a part is gone", () => {
  test("those that wait for it are woken with the reason, and nobody waits again", async () => {
    const { members, gathering } = gatheringOf(3);
    const waiting = members.slice(1).map((member) => member.sum(1));
    gathering.fail(new Error("the first reason"));
    gathering.fail(new Error("what followed from it"));
    for (const one of waiting) await expect(one).rejects.toThrow("the first reason");
    for (const member of members) {
      await expect(member.sum(1)).rejects.toThrow("the first reason");
      await expect(member.draw({ count: 1 })).rejects.toThrow("the first reason");
    }
  });

  test("and nobody waits yet, those that come are told", async () => {
    const { members, gathering, options } = gatheringOf(2);
    gathering.fail(new Error("gone"));
    await expect(members[0]?.restartBroker(RESTART)).rejects.toThrow("gone");
    expect(options.restartBroker).not.toHaveBeenCalled();
  });
});
