/** A contract of all that can be marked: what is not called is found missing, and nothing else. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContractFactory, Interface, Network } from 'ethers';
import t from 'tap';
import { compile, parse } from '@coldproof/contracts/compiler';
import { startChain } from '../helpers/chain.ts';
import { TracedProvider } from '../helpers/traced-provider.ts';
import { instrument, marksContent, marksSource } from './instrument.ts';
import { measure, print } from './report.ts';

const file = 'Sample.sol';
/** Umlauts, since solc counts bytes. */
const content = `// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;
// Größe: Umlauts take two bytes.
error Odd(uint256 value);
function double(uint256 a) pure returns (uint256) { return 2 * a; }
contract Sample {
    uint256 public sum;
    constructor() {}
    modifier small(uint256 a) {
        require(a < 1000, Odd(a));
        _;
    }
    function decide(uint256 a, bool b) external pure small(a) returns (uint256 r) {
        if (a > 10) r = 1;
        else if (a == 5 && b) r = 2;
        else r = b || a == 3 ? 3 : double(a);
        if (!(a != 7)) revert Odd(a);
    }
    function add(uint256 n) external {
        for (uint256 i = 0; i < n; ++i) sum += i;
        uint256 left = n;
        while (left > 0) { unchecked { --left; } }
        do { ++left; } while (left < n);
    }
    function ask(uint256 a) external view returns (uint256) {
        try this.decide(a, true) returns (uint256 r) {
            return r;
        } catch {
            return 99;
        }
    }
    function low(uint256 a) external pure returns (uint256 r) {
        assembly ("memory-safe") {
            function twice(x) -> y { y := mul(2, x) }
            if gt(a, 10) { r := twice(a) }
            for { let i := 0 } lt(i, a) { i := add(i, 1) } { r := add(r, 1) }
            switch and(a, 1)
            case 0 { r := add(r, 100) }
            default { r := add(r, 200) }
        }
    }
    function stop(uint256 a) external {
        if (a == 0) return;
        if (a == 1) delete sum;
        else for (; ; ) if (++a > 5) break;
    }
    function plain(uint256 a) external pure returns (uint256) {
        return a;
    }
}
`;

t.test('marks of each outcome, on calls, reverts and transactions', async (t) => {
  const sources = { [file]: content };
  const marked = instrument(file, content, parse(sources)[file], true);
  t.equal(marked.content.split('\n').length, content.split('\n').length, 'lines stay where they are');
  const all = { [file]: marked.content, [marksSource]: marksContent };
  const compiled = compile([file], all, { runs: 200, viaIR: true, isStrict: false }).find(
    ({ name }) => name === 'Sample',
  )!;
  const abi = new Interface(compiled.abi);
  const chain = await startChain();
  const folder = mkdtempSync(join(tmpdir(), 'marks-'));
  const network = Network.from(chain.chainId);
  const provider = new TracedProvider(folder, chain.url, network, { cacheTimeout: -1, staticNetwork: network });
  t.teardown(async () => {
    provider.destroy();
    await chain.stop();
    rmSync(folder, { recursive: true });
  });
  const missing = (): readonly string[] => {
    const lines = readdirSync(folder).flatMap((each) => readFileSync(join(folder, each), 'utf8').trim().split('\n'));
    return measure(marked.places, new Set(lines.map(Number)))[0]!.missing;
  };
  const signer = await provider.getSigner(0);
  const deployed = await new ContractFactory(abi, compiled.creationCode, signer).deploy();
  await deployed.waitForDeployment();
  const to = await deployed.getAddress();
  const ask = async (method: string, ...args: unknown[]): Promise<unknown> =>
    abi.decodeFunctionResult(method, await provider.call({ to, data: abi.encodeFunctionData(method, args) }))[0];

  t.equal(await ask('decide', 11n, false), 1n);
  t.equal(await ask('decide', 5n, true), 2n);
  t.equal(await ask('decide', 4n, false), 8n, 'as without marks');
  await t.rejects(ask('decide', 7n, false), 'a call that reverts');
  await t.rejects(
    signer.sendTransaction({ to, data: abi.encodeFunctionData('decide', [1000n, false]) }),
    'an estimate',
  );
  const sent = await signer.sendTransaction({ to, data: abi.encodeFunctionData('add', [3n]) });
  await sent.wait();
  t.equal(await ask('sum'), 3n);
  t.equal(await ask('ask', 11n), 1n);
  t.equal(await ask('low', 12n), 136n);
  for (const a of [0n, 1n, 2n]) await provider.call({ to, data: abi.encodeFunctionData('stop', [a]) });
  t.same(missing(), [
    `${file}:15:28: never false`,
    `${file}:16:18: never true`,
    `${file}:16:23: never true`,
    `${file}:28:11: never taken`,
    `${file}:29:13: never run`,
    `${file}:35:16: never false`,
    `${file}:39:13: never taken`,
    `${file}:39:23: never run`,
    `${file}:48:9: never run`,
  ]);

  await ask('decide', 5n, false);
  await ask('decide', 3n, false);
  await ask('decide', 4n, true);
  await ask('ask', 7n);
  await ask('low', 9n);
  t.same(missing(), [`${file}:48:9: never run`]);
  await ask('plain', 1n);
  t.same(missing(), []);
});

t.test('a report names what is missing, and calls nothing whole that is not', (t) => {
  const { places } = instrument(file, content, parse({ [file]: content })[file], true);
  const marks = [...places.keys()];
  const none = print(measure(places, new Set()));
  t.match(none, /all +0\.0 % \(0\/\d+\) +0\.0 % \(0\/\d+\)/);
  const whole = print(measure(places, new Set(marks)));
  t.match(whole, /all +100\.0 % .* +100\.0 % .*$/);
  t.match(print(measure(places, new Set(marks.slice(1)))), /never/);
  t.end();
});

t.test('what is not measured gets no marks, and no pure function that calls a marked one', (t) => {
  const { content: text, places } = instrument(file, content, parse({ [file]: content })[file], false);
  t.equal(places.size, 0);
  t.equal(text, content.replaceAll(/\bpure\b/g, 'view'));
  t.end();
});
