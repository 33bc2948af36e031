// Drives the endpoint with npm's openai; run by sdk_test.py in the folder that has it: URL KEY LOADING_URL.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [url, key, loading] = process.argv.slice(2);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const model = (await client.models.list()).data[0].id;
const ask = { model, messages: [{ role: "user", content: "hello" }], max_tokens: 12, temperature: 0 };
const create = (more) => client.chat.completions.create({ ...ask, ...more });

const cases = {
  async plain() {
    const a = await create();
    assert.equal(a.choices[0].message.role, "assistant");
    assert.ok(a.usage.completion_tokens <= 12);
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async streamed() {
    const whole = (await create()).choices[0].message.content;
    let text = "";
    for await (const x of await create({ stream: true })) text += x.choices[0].delta.content ?? "";
    assert.equal(text, whole);
  },
  async streamed_with_usage() {
    let last;
    for await (const x of await create({ stream: true, stream_options: { include_usage: true } })) last = x;
    assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
  },
  async stop_strings() {
    const whole = (await create({ max_tokens: 40 })).choices[0].message.content;
    const at = [...Array(whole.length).keys()].find((i) => i >= whole.length / 2 && /^[\x20-\x7e]{2}$/.test(whole.slice(i, i + 2)));
    const stop = whole.slice(at, at + 2);
    const a = (await create({ max_tokens: 40, stop })).choices[0];
    assert.equal(a.message.content, whole.slice(0, whole.indexOf(stop)));
    assert.equal(a.finish_reason, "stop");
  },
  async log_probabilities() {
    const a = await create({ logprobs: true, top_logprobs: 4 });
    const content = a.choices[0].logprobs.content;
    assert.equal(content.length, a.usage.completion_tokens);
    assert.ok(content.every((x) => x.top_logprobs.length === 4));
  },
  async completions() {
    const a = await client.completions.create({ model, prompt: ["hello", "once"], max_tokens: 5, temperature: 0 });
    assert.equal(a.choices.length, 2);
  },
  async errors_by_class() {
    await assert.rejects(create({ temperature: 1000 }), (e) => e instanceof OpenAI.BadRequestError && e.param === "temperature");
    await assert.rejects(create({ messages: [{ role: "user", content: "word ".repeat(3000) }] }),
      (e) => e instanceof OpenAI.BadRequestError && e.code === "context_length_exceeded");
    await assert.rejects(new OpenAI({ baseURL: url, apiKey: "wrong", maxRetries: 0 }).models.list(),
      (e) => e instanceof OpenAI.AuthenticationError && e.code === "invalid_api_key");
    await assert.rejects(create({ model: "gpt-4" }), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
    await assert.rejects(new OpenAI({ baseURL: loading, apiKey: key, maxRetries: 0 }).chat.completions.create(ask),
      (e) => e instanceof OpenAI.InternalServerError && e.status === 503);
  },
  async aborted_stream() {
    const stream = await create({ stream: true, max_tokens: 400, ignore_eos: true });
    let n = 0;
    for await (const x of stream) if (x && ++n === 4) break;
    stream.controller.abort();
    await cases.plain();
  },
};

let bad = 0;
for (const [name, f] of Object.entries(cases)) {
  try {
    await f();
    console.log(`ok   node: ${name}`);
  } catch (e) {
    bad++;
    console.log(`FAIL node: ${name}\n     ${String(e.stack ?? e).replaceAll("\n", "\n     ")}`);
  }
}
process.exit(bad === 0 ? 0 : 1);
