// The same as reader_program.py, with DuckDB's client for Node, whose folder comes first among the arguments.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const [library, file, questions, stop, pause] = process.argv.slice(2);
const { DuckDBInstance } = createRequire(`${library}/`)('@duckdb/node-api');
const [which, checks, isWhole] = JSON.parse(readFileSync(questions, 'utf8'));
const now = () => Number(process.hrtime.bigint()) / 1e9;

for (let number = 0; !existsSync(stop); number++) {
  const reading = { connected_at: now() };
  try {
    const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY', threads: '1' });
    const connection = await instance.connect();
    try {
      const ask = async (sql) => (await connection.runAndReadAll(sql)).getRows()[0][0];
      reading.first = await ask(which);
      reading.answered_at = now();
      await sleep((Number(pause) * 1000) / 4);
      reading.second = await ask(checks);
      if (number % 5 === 0) {
        reading.whole = (await connection.runAndReadAll(isWhole)).getRows()[0][1];
      }
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  } catch (error) {
    reading.error = String(error);
  }
  reading.closed_at = now();
  process.stdout.write(`${JSON.stringify(reading)}\n`);
  await sleep(Number(pause) * 1000);
}
