/**
 * Loaded by tap before suite.js, or a file by itself (package.json). tap would follow every program that is started
 * from there, through a thread of module hooks in each; nothing reads what they write, and programs start as they do
 * without.
 */
import { addListener } from 'process-on-spawn';

const follower = '@tapjs/processinfo';

addListener((spawned) => {
  const env = { ...spawned.env };
  const kept = (env['NODE_OPTIONS'] ?? '').split(' ').filter((option) => !option.includes(follower));
  delete env['NODE_OPTIONS'];
  // What the caller has set stays.
  spawned.env = kept.join('') === '' ? env : { ...env, NODE_OPTIONS: kept.join(' ') };
});
