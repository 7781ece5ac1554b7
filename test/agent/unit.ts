/** What is measured of the agent's memory is measured as it is started in the field. */
import { readFileSync } from 'node:fs';

/** How the systemd unit and the container image start Node. */
export function readUnit(): { readonly flags: string[]; readonly variables: Record<string, string> } {
  const unit = readFileSync(new URL('../../../agent/packaging/coldproof-agent.service', import.meta.url), 'utf8');
  const [, flags = ''] = /^ExecStart=\S+ ((?:--\S+ )*)/m.exec(unit) ?? [];
  const variables = [...unit.matchAll(/^Environment=(\w+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!]);
  return {
    flags: flags.split(' ').filter((flag) => flag !== ''),
    variables: Object.fromEntries(variables) as Record<string, string>,
  };
}
