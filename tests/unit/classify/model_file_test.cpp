// A model's file: what was written is read back, and what is anything else is refused with a reason.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/hash.hpp"
#include "base/random.hpp"
#include "classify/classify.hpp"

namespace ballast::classify {
namespace {

constexpr std::size_t kHead = 8 + 8 + 32;

std::string sample() {
  static const std::string bytes =
      train(std::vector<Example>{{"red apple", "fruit"}, {"green pear", "fruit"}, {"fast car", "machine"}, {"slow train", "machine"}}).value().model.to_bytes();
  return bytes;
}

// With a size and a checksum that fit: what a hostile hand would make.
std::string signed_again(std::string bytes) {
  const std::uint64_t size = bytes.size() - kHead;
  const Digest digest = sha256(std::string_view(bytes).substr(kHead));
  std::memcpy(bytes.data() + 8, &size, sizeof size);
  std::memcpy(bytes.data() + 16, digest.data(), digest.size());
  return bytes;
}

template <class T>
std::string with(std::size_t at, T value) {
  auto bytes = sample();
  std::memcpy(bytes.data() + kHead + at, &value, sizeof value);
  return signed_again(std::move(bytes));
}

TEST(ModelFile, ReadsBackAsItWas) {
  const auto model = Model::load(sample()).value();
  EXPECT_EQ(model.to_bytes(), sample());
  ASSERT_EQ(model.labels().size(), 2u);
  EXPECT_EQ(model.labels()[0], "fruit");
  EXPECT_EQ(model.out_of_scope_label(), "oos");
  EXPECT_EQ(model.digest().size(), 64u);
  EXPECT_EQ(model.classify("a red pear").label, "fruit");
  EXPECT_EQ(model.classify("a slow car").label, "machine");
}

TEST(ModelFile, ShorterLongerOrAlteredIsRefused) {
  const auto bytes = sample();
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(Model::load(std::string_view(bytes).substr(0, size))) << size;
  EXPECT_FALSE(Model::load(bytes + "x"));
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto altered = bytes;
    altered[at] = static_cast<char>(altered[at] ^ 0x40);
    EXPECT_FALSE(Model::load(altered)) << at;
  }
}

TEST(ModelFile, SaysWhatIsWrong) {
  const auto message = [](std::string_view bytes) { return Model::load(bytes).error().message; };
  EXPECT_EQ(message("label\ttext\n"), "is no usable model of intents: it does not begin as one; `ballast intents train` makes them");
  EXPECT_EQ(message(sample().substr(0, 20)), "is no usable model of intents: it is cut off");
  auto newer = sample();
  newer[7] = 9;
  EXPECT_EQ(message(newer), "is no usable model of intents: it is of version 9, this program reads 1: train it again");
  EXPECT_TRUE(message(sample() + "x").contains("it says that it has")) << message(sample() + "x");
  auto altered = sample();
  altered.back() ^= 1;
  EXPECT_EQ(message(altered), "is no usable model of intents: its checksum is wrong");
}

// The checksum is right; the numbers are not.
TEST(ModelFile, NumbersAreLookedAtBeforeTheyAreBelieved) {
  EXPECT_TRUE(Model::load(signed_again(sample())));
  for (const std::uint32_t labels : {0u, 1u, 3u, 1'000u, 1'001u, 0xffffffffu}) EXPECT_FALSE(Model::load(with(0, labels))) << labels;
  for (const std::uint32_t rows : {0u, 1u, 1'000'000u, 0x7fffffffu, 0xffffffffu}) EXPECT_FALSE(Model::load(with(4, rows))) << rows;
  for (const std::uint32_t supports : {0u, 1u, 5u, 5'000u, 0xffffffffu}) EXPECT_FALSE(Model::load(with(8, supports))) << supports;
  for (const double share : {0.0, -1.0, 0.9, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    EXPECT_FALSE(Model::load(with(12, share))) << share;
  for (const float temperature : {0.0f, -1.0f, 1e9f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    EXPECT_FALSE(Model::load(with(20, temperature))) << temperature;
  for (const float unknown : {0.0f, std::numeric_limits<float>::quiet_NaN()}) EXPECT_FALSE(Model::load(with(24, unknown))) << unknown;
  for (const std::uint32_t length : {0u, 129u, 0xffffffffu}) EXPECT_FALSE(Model::load(with(28, length))) << length;
}

// Every byte of the payload with every kind of damage and a fitting checksum: refused, or a model that answers within its bounds.
TEST(ModelFile, NoDamageMakesItCrash) {
  SeededRandom random(5);
  int refused = 0;
  for (std::size_t at = kHead; at < sample().size(); at += 3) {
    auto bytes = sample();
    bytes[at] = static_cast<char>(random.next());
    const auto model = Model::load(signed_again(std::move(bytes)));
    if (!model) {
      ++refused;
      continue;
    }
    const Verdict v = model->classify("a red car and a green train");
    EXPECT_TRUE(v.confidence >= 0 && v.confidence <= 1 && v.typicality >= 0 && v.typicality <= 1) << at;
  }
  EXPECT_GT(refused, 10);
}

}  // namespace
}  // namespace ballast::classify
