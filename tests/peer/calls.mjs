// The library `iexec` in a process of its own: every line of JSON on stdin is a call, every line on stdout its answer.
// Arguments: the folder that the package is installed in, and the localnet's settings.
import { createInterface } from 'node:readline';

const [home, settings] = process.argv.slice(2);
const { IExec, utils } = await import(`${home}/node_modules/iexec/dist/esm/lib/index.js`);
const { host, ...options } = JSON.parse(settings);

const clients = new Map();
const client = (key) => {
  if (!clients.has(key)) {
    const ethProvider = utils.getSignerFromPrivateKey(host, key, { allowExperimentalNetworks: true });
    clients.set(key, new IExec({ ethProvider }, options));
  }
  return clients.get(key);
};

const plain = (_, value) => (typeof value === 'bigint' ? value.toString() : value);

for await (const line of createInterface({ input: process.stdin })) {
  const { key, call, args } = JSON.parse(line);
  const [module, method] = call.split('.');
  let answer;
  try {
    answer = { value: (await client(key)[module][method](...args)) ?? null };
  } catch (error) {
    answer = { error: { name: error.name, message: error.message } };
  }
  process.stdout.write(`${JSON.stringify(answer, plain)}\n`);
}
