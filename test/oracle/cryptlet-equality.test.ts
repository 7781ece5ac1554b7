/**
 * Each shipped cryptlet says the same three times over, byte for byte, on seeded voyages: in the sandbox, as JavaScript
 * in this engine, and as the statement of it in cryptlet-statements.ts. `npm run campaign:cryptlets` does more of them.
 */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { compileRuntime } from '@coldproof/oracle/cryptlet/runtime';
import { seeded } from '../helpers/seed.ts';
import { shippedFolder } from './cryptlet-fixture.ts';
import { statements } from './cryptlet-statements.ts';
import { compareVoyages } from './cryptlet-voyages.ts';

/** Of each of the seven; a thousand and more in all. */
const voyages = 150;

t.same(Object.keys(statements).sort(), readdirSync(shippedFolder('.')).sort(), 'each has its statement');

const module = await compileRuntime();

for (const name of Object.keys(statements)) {
  t.test(`${name}, ${voyages} voyages`, async (t) => {
    const { answers, difference } = await compareVoyages(module, name, voyages, seeded(t, 5));
    t.equal(difference, undefined);
    t.ok(answers > voyages / 20, `${answers} different answers`);
  });
}
