// The API's document makes a typed client with a tool that we did not write.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import openapiTS, { astToString } from 'openapi-typescript';
import ts from 'typescript';

const client = `
import type { components, paths } from './api';

type Users = paths['/api/v1/users']['get'];
const filter: Users['parameters']['query'] = { role: 'owner', limit: 200 };
const invitation: components['schemas']['NewInvitation'] = { email: 'bo@example.com', role: 'member' };
export function next(page: components['schemas']['PageUser']): string | null {
  const first: components['schemas']['User'] | undefined = page.items[0];
  return first?.last_sign_in_at === null ? null : page.next;
}
export { filter, invitation };
`;

test('openapi-typescript makes a typed client of the document', async (t) => {
  const document = JSON.parse(await readFile(new URL('../docs/openapi.json', import.meta.url), 'utf8'));
  const folder = await mkdtemp(join(tmpdir(), 'parvis-client-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'api.d.ts'), astToString(await openapiTS(document)));
  const faults = async (source) => {
    const file = join(folder, 'client.ts');
    await writeFile(file, source);
    const program = ts.createProgram([file], { strict: true, noEmit: true, module: ts.ModuleKind.ESNext, types: [] });
    return ts.getPreEmitDiagnostics(program).map((d) => ts.flattenDiagnosticMessageText(d.messageText, '\n'));
  };
  assert.deepEqual(await faults(client), []);
  const wrong = await faults(client.replace("role: 'owner'", "role: 'king'"));
  assert.equal(wrong.length, 1, `a role that does not exist compiles: ${wrong}`);
});
