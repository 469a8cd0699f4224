// What image calls cost at most, and what their replies say they cost.
#include "llm/images.hpp"

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace ballast::llm {
namespace {

ImageAsk asked(std::string_view body) {
  const auto document = parse_json(body);
  auto ask = read_image_request(*document, body.size());
  if (!ask) ADD_FAILURE() << ask.error().message;
  return ask.value_or(ImageAsk{});
}
std::string refused(std::string_view body) {
  const auto document = parse_json(body);
  const auto ask = read_image_request(*document, body.size());
  return ask ? "accepted" : ask.error().field;
}
ModelInfo known(std::string_view model) { return *PriceBook::shipped()->find("openai", "openai", model); }

TEST(Images, AJsonRequestTellsWhatAFormTells) {
  const auto ask = asked(R"({"model":"m","prompt":"a keel","n":4,"size":"1024x1024","quality":"low","user":"ann","stream":true,"partial_images":2,
                             "images":[{"image_url":"data:image/png;base64,AAAA"},{"image_url":"data:image/png;base64,BB\u0042B"}],"mask":{"image_url":"data:,x"}})");
  EXPECT_EQ(ask.model + ask.size + ask.quality + ask.user, "m1024x1024lowann");
  EXPECT_EQ(ask.n, 4u);
  EXPECT_EQ(ask.partial_images, 2u);
  EXPECT_TRUE(ask.stream);
  EXPECT_EQ(ask.images, 2u);
  EXPECT_EQ(ask.masks, 1u);
  EXPECT_EQ(ask.prompt_bytes, 6u);
  EXPECT_TRUE(ask.remote.empty());
  EXPECT_EQ(asked(R"({"model":"m","n":null,"images":[{"image_url":"data:,"},{"image_url":"https://x/y"}]})").remote, "images[1]");
  EXPECT_EQ(asked(R"({"model":"m","images":[{"file_id":"file-1"}]})").remote, "images[0]");
  EXPECT_EQ(asked(R"({"model":"m","image":"https://x/y"})").remote, "image");
  EXPECT_EQ(asked(R"({"model":"m","image":["data:,","data:,"],"mask":{"file_id":"f"}})").remote, "mask");
  for (const auto& [field, body] : std::initializer_list<std::pair<std::string, std::string>>{
           {"model", R"({"n":1})"}, {"model", R"({"model":""})"}, {"n", R"({"model":"m","n":0})"}, {"n", R"({"model":"m","n":11})"}, {"n", R"({"model":"m","n":"4"})"},
           {"n", R"({"model":"m","n":1.5})"}, {"size", R"({"model":"m","size":1024})"}, {"quality", R"({"model":"m","quality":[]})"},
           {"partial_images", R"({"model":"m","partial_images":4})"}, {"stream", R"({"model":"m","stream":"true"})"}, {"prompt", R"({"model":"m","prompt":1})"}})
    EXPECT_EQ(refused(body), field) << body;
}

TEST(Images, TheTextOfARequestIsBoundedByItsBytesWithoutTheImagesInIt) {
  const std::string image = "data:image/png;base64," + std::string(100'000, 'A');
  const auto ask = asked(R"({"model":"m","prompt":"x","images":[{"image_url":")" + image + R"("}]})");
  EXPECT_LT(ask.text_bytes, 100u);
  EXPECT_GT(ask.text_bytes, 40u);
}

// The vendor's published figures: https://developers.openai.com/api/docs/guides/image-generation
TEST(Images, TheTokensOfAnImageAreTheVendorsFigures) {
  const auto tokens = [](std::string_view model, std::string size, std::string quality, std::uint32_t partial = 0) {
    return image_output_bound({.size = std::move(size), .quality = std::move(quality), .partial_images = partial}, known(model)).value_or(0);
  };
  EXPECT_EQ(tokens("gpt-image-1", "1024x1024", "low"), 272u);
  EXPECT_EQ(tokens("gpt-image-1", "1024x1536", "medium"), 1584u);
  EXPECT_EQ(tokens("gpt-image-1", "1024x1024", "high"), 4160u);
  EXPECT_EQ(tokens("gpt-image-1", "1536x1024", "high"), 6240u);
  EXPECT_EQ(tokens("gpt-image-1-2025-04-23", "1024x1024", "high", 3), 4160u + 300);
  for (const std::string unsaid : {"", "auto", "standard", "9x9"}) EXPECT_EQ(tokens("gpt-image-1", unsaid, unsaid), 6240u) << "the dearest";
  // $0.052 for the dearest image of the small model, at $8 per million tokens.
  EXPECT_GE(tokens("gpt-image-1-mini", "auto", "auto"), 52'000u / 8);
  EXPECT_EQ(tokens("gpt-image-2", "1024x1024", "low"), 196u);
  EXPECT_EQ(tokens("gpt-image-2", "1024x1024", "high"), 7024u);
  EXPECT_EQ(tokens("gpt-image-2", "1536x1024", "high"), 5488u);
  const auto most = tokens("gpt-image-2", "", "");
  for (const std::string size : {"auto", "2880x2880", "99999x99999", "18446744073709551615x2", "1024x64", "0x0", "1023x1024"}) EXPECT_EQ(tokens("gpt-image-2", size, "auto"), most) << size;
  for (std::uint64_t w = 16; w <= 3840; w += 16)
    for (std::uint64_t h = 16; h <= 3840; h += 16) ASSERT_LE(tokens("gpt-image-2", std::to_string(w) + "x" + std::to_string(h), "high"), most) << w << "x" << h;
}

TEST(Images, WithoutABoundTheModelIsNamedAndTheRemedyTold) {
  const auto bound = image_output_bound({}, known("gpt-image-1.5"));
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::policy_unbounded_cost);
  EXPECT_EQ(bound.error().field, "model");
  EXPECT_NE(bound.error().message.find("openai/gpt-image-1.5"), std::string::npos);
  EXPECT_NE(bound.error().message.find("image_tokens"), std::string::npos);
  const auto book = PriceBook::shipped()->with({{.provider = "openai", .model = "gpt-image-1.5", .image_tokens = 9000}});
  EXPECT_EQ(image_output_bound({.partial_images = 1}, *book->find("openai", "openai", "gpt-image-1.5")).value_or(0), 9100u);
  EXPECT_EQ(image_output_bound({}, {.price = {.output = {1}}, .max_output = 77}).value_or(0), 77u) << "the longest answer";
  EXPECT_EQ(image_output_bound({}, {.per_image = Price{1}}).value_or(1), 0u) << "no tokens are charged";
}

// Whatever a provider may report of n images within the bounds costs at most the ceiling; the prompt may be charged for each image.
TEST(Images, TheCeilingHoldsForEveryImageModel) {
  SeededRandom random(7);
  int models = 0;
  for (const char* kind : {"openai", "azure", "gemini"})
    for (const auto& name : PriceBook::shipped()->models(kind)) {
      const auto info = *PriceBook::shipped()->find(kind, kind, name);
      if (info.mode != "image_generation" || !info.priced) continue;
      for (const std::string quality : {"low", "medium", "high", "auto"})
        for (const std::string size : {"1024x1024", "1536x1024", "auto"}) {
          const ImageAsk ask{.size = size, .quality = quality, .n = static_cast<std::uint32_t>(1 + random.below(10)), .partial_images = 3,
                             .images = static_cast<std::uint32_t>(random.below(4)), .text_bytes = random.below(5000)};
          const auto most = image_output_bound(ask, info);
          if (!most) continue;
          ++models;
          const auto top = ceiling(extent_of(ask), info, *most);
          ASSERT_TRUE(top) << name;
          const auto image_in = ask.n * ask.images * kMaxImageTokens;
          const Usage u{.input_uncached = ask.n * ask.text_bytes + image_in, .output = ask.n * *most, .image_in = image_in, .image_out = ask.n * *most, .images = ask.n};
          ASSERT_LE(cost(u, info), *top) << name;
        }
    }
  EXPECT_GT(models, 100);
}

TEST(Images, ApieceMeansThatTokensOutAreFree) {
  const Price each{40'000'000'000'000};                     // 4 cents
  const ModelInfo apiece{.per_image = each, .priced = false}, both{.price = {.output = {1}}, .per_image = each};
  const ModelInfo with_prompt{.price = {.input = {5'000'000'000}}, .per_image = each};
  EXPECT_EQ(cost({.images = 3}, apiece).nano, 3 * 40'000'000);
  EXPECT_EQ(cost({.input_uncached = 10, .output = 1000, .images = 3}, with_prompt).nano, 10 * 5000 + 3 * 40'000'000);
  EXPECT_EQ(cost({.output = 1'000'000, .images = 3}, both).nano, 1) << "by its tokens";
  EXPECT_EQ(untold_cost({}, 3, apiece).value_or(Money{}).nano, 3 * 40'000'000) << "exact: nothing but images is priced";
  EXPECT_EQ(untold_cost({}, 0, apiece).value_or(Money{1}).nano, 0);
  EXPECT_GT(untold_cost({.text_bytes = 8}, 3, with_prompt).value_or(Money{}).nano, 3 * (8 * 5000 + 40'000'000)) << "the prompt at its bound";
  EXPECT_FALSE(untold_cost({}, 3, both)) << "a price per image is an example there, and not the dearest";
  EXPECT_EQ(ceiling(extent_of(ImageAsk{.n = 3}), apiece, 0)->nano, 3 * 40'000'000) << "a price per image is price enough for images";
  EXPECT_EQ(ceiling({.n = 3}, apiece, 0).error().code, ErrorCode::policy_unpriced_model) << "and not for talk";
}

TEST(Images, ARepliesImagesAreCountedAndItsTokensRead) {
  const auto told = read_image_reply(R"({"created":1,"data":[{"b64_json":"A"},{"url":"u"}],"usage":{"input_tokens":50,"output_tokens":400,"total_tokens":450,
                                         "input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens_details":{"image_tokens":272,"text_tokens":128}}})");
  EXPECT_TRUE(told.ended && told.told());
  EXPECT_EQ(told.usage, (Usage{.input_uncached = 50, .output = 400, .image_in = 40, .image_out = 272, .images = 2}));
  EXPECT_EQ(read_image_reply(R"({"data":[{}],"usage":{"input_tokens":1,"output_tokens":9}})").usage.image_out, 9u) << "images, unless told apart";
  const auto untold = read_image_reply(R"({"data":[{},{},{}]})");
  EXPECT_TRUE(untold.ended && !untold.told());
  EXPECT_EQ(untold.usage.images, 3u);
  for (const std::string odd : {"", "{", "[]", "null", R"({"data":7,"usage":[]})", R"({"usage":{"input_tokens":-1,"output_tokens":"x"}})"}) {
    const auto reply = read_image_reply(odd);
    EXPECT_TRUE(!reply.told() && reply.usage.images == 0) << odd;
  }
}

TEST(Images, AStreamIsReadToItsEnd) {
  const std::string partial = "event: image_generation.partial_image\ndata: {\"type\":\"image_generation.partial_image\",\"b64_json\":\"A\"}\n\n";
  const std::string done = "event: image_edit.completed\ndata: {\"type\":\"image_edit.completed\",\"usage\":{\"input_tokens\":5,\"output_tokens\":300}}\n\n";
  const auto whole = read_image_reply(partial + partial + done);
  EXPECT_TRUE(whole.ended && whole.told());
  EXPECT_EQ(whole.usage, (Usage{.input_uncached = 5, .output = 300, .image_out = 300, .images = 1}));
  EXPECT_FALSE(read_image_reply(partial).ended) << "cut";
  EXPECT_FALSE(read_image_reply(done + "data: {\"error\":{\"message\":\"x\"}}\n\n").ended);
  EXPECT_FALSE(read_image_reply("event: error\ndata: {\"type\":\"error\"}\n\n").ended);
}

}  // namespace
}  // namespace ballast::llm
