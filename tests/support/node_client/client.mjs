// OpenAI's official Node client against a gateway: what it makes of answers and of errors.
// Reads its settings from the environment, prints one JSON object; judged by who started it.
import OpenAI from "openai";

const { BASE_URL, MODEL, KEY, NARROW_KEY, LIMITED_KEY, ENDLESS } = process.env;
const made = (apiKey, more = {}) =>
  new OpenAI({ baseURL: BASE_URL, apiKey, maxRetries: 0, timeout: 60_000, ...more });
const asked = (content, more = {}) => ({
  model: MODEL,
  messages: [{ role: "user", content }],
  max_tokens: 8,
  ...more,
});

// The client's own class for what went wrong, with status and code where there are any.
async function raised(promise) {
  try {
    await promise;
    return { type: "none" };
  } catch (error) {
    return { type: error.constructor.name, status: error.status ?? null, code: error.code ?? null };
  }
}

async function streamed(client) {
  let pieces = 0;
  let finished = false;
  for await (const chunk of await client.chat.completions.create(asked("say 3", { stream: true }))) {
    pieces += chunk.choices.length;
    finished ||= chunk.choices.some((choice) => choice.finish_reason);
  }
  return { pieces, finished };
}

// Leaves in the middle of a stream, which a model must not end by itself before; whether it did.
async function left(client) {
  const stream = await client.chat.completions.create(
    asked(ENDLESS, { stream: true, max_tokens: 400, ignore_eos: true }),
  );
  for await (const chunk of stream) {
    if (chunk.choices.length) break;
  }
  return stream.controller.signal.aborted;
}

const client = made(KEY);
const tool = {
  type: "function",
  function: {
    name: "switch_light",
    parameters: {
      type: "object",
      properties: { on: { type: "boolean" } },
      required: ["on"],
      additionalProperties: false,
    },
  },
};
const schema = {
  type: "object",
  properties: { answer: { type: "string", enum: ["yes", "no"] } },
  required: ["answer"],
  additionalProperties: false,
};
const chat = await client.chat.completions.create(asked("say 3"));
const limited = made(LIMITED_KEY);
await limited.chat.completions.create(asked("say 1"));
const found = {
  models: (await client.models.list()).data.map((model) => model.id),
  chat: { tokens: chat.usage.completion_tokens, request: chat._request_id },
  stream: await streamed(client),
  tools: (
    await client.chat.completions.create(
      asked("say 1", {
        max_tokens: 400,
        tools: [tool],
        tool_choice: { type: "function", function: { name: "switch_light" } },
      }),
    )
  ).choices[0].message,
  schema: (
    await client.chat.completions.create(
      asked("say 1", {
        max_tokens: 64,
        response_format: { type: "json_schema", json_schema: { name: "answer", schema } },
      }),
    )
  ).choices[0].message.content,
  embeddings: await raised(client.embeddings.create({ model: MODEL, input: "text" })),
  left: await left(client),
  raised: {
    unknown_key: await raised(made("fed_nothing").chat.completions.create(asked("say 1"))),
    other_model: await raised(made(NARROW_KEY).chat.completions.create(asked("say 1"))),
    no_model: await raised(client.chat.completions.create(asked("say 1", { model: "nobody's" }))),
    too_often: await raised(limited.chat.completions.create(asked("say 1"))),
    wrong_type: await raised(client.chat.completions.create(asked("say 1", { stream: "x" }))),
    too_slow: await raised(client.chat.completions.create(asked(ENDLESS), { timeout: 1 })),
  },
};
console.log(JSON.stringify(found));
