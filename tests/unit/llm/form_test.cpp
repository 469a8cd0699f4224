// The reader of image forms: what it reads, and all that it refuses because two readers might read it differently.
#include "llm/form.hpp"

#include <chrono>

#include <gtest/gtest.h>

#include "base/text.hpp"

namespace ballast::llm {
using namespace std::string_literals;
namespace {

constexpr std::string_view kType = "multipart/form-data; boundary=edge";

std::string part(std::string_view head, std::string_view value, std::string_view boundary = "edge") {
  return "--" + std::string(boundary) + "\r\n" + std::string(head) + "\r\n\r\n" + std::string(value) + "\r\n";
}
std::string field(std::string_view name, std::string_view value) { return part("Content-Disposition: form-data; name=\"" + std::string(name) + "\"", value); }
std::string file(std::string_view name, std::string_view value) {
  return part("Content-Disposition: form-data; name=\"" + std::string(name) + "\"; filename=\"a.png\"\r\nContent-Type: image/png", value);
}
const std::string kModel = field("model", "painter");
const std::string kEnd = "--edge--\r\n";

std::string refused(std::string_view body, std::string_view type = kType) {
  const auto read = read_image_form(body, type);
  if (read) return "accepted";
  EXPECT_EQ(read.error().code, ErrorCode::caller_invalid_request);
  EXPECT_FALSE(read.error().message.empty());
  return read.error().field;
}

TEST(Form, TellsWhatIsAskedForAndWhereTheModelStands) {
  const std::string png = "\x89PNG\r\n\x1a\n\0--ed-\r\n--e\r\n"s;
  const std::string body = field("prompt", "a red keel") + kModel + field("n", "4") + field("size", "1024x1536") + field("quality", "high") +
                           field("stream", "true") + field("partial_images", "2") + field("user", "ann") + file("image[]", png) + file("image[]", png) +
                           file("mask", png) + field("background", "auto") + kEnd;
  const auto ask = read_image_form(body, kType);
  ASSERT_TRUE(ask) << ask.error().field << " " << ask.error().message;
  EXPECT_EQ(ask->model, "painter");
  EXPECT_EQ(ask->n, 4u);
  EXPECT_EQ(ask->size, "1024x1536");
  EXPECT_EQ(ask->quality, "high");
  EXPECT_EQ(ask->user, "ann");
  EXPECT_TRUE(ask->stream);
  EXPECT_EQ(ask->partial_images, 2u);
  EXPECT_EQ(ask->images, 2u);
  EXPECT_EQ(ask->masks, 1u);
  EXPECT_EQ(ask->prompt_bytes, 10u);
  EXPECT_EQ(ask->text_bytes, std::string("a red keelpainter41024x1536hightrue2annauto").size()) << "every field that is no file";
  EXPECT_TRUE(ask->remote.empty());
  EXPECT_EQ(body.substr(ask->model_value.offset, ask->model_value.length), "painter");
  const std::string renamed = rename_model(body, *ask, "gpt-image-1");
  EXPECT_EQ(renamed.size(), body.size() + 4);
  const auto again = read_image_form(renamed, kType);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->model, "gpt-image-1");
  EXPECT_EQ(again->images, 2u);
}

TEST(Form, EveryFileIsAnImageWhateverItIsCalled) {
  const auto ask = read_image_form(kModel + file("image", "a") + file("image[3]", "b") + file("images", "c") + file("reference", "d") +
                                       part("Content-Disposition: form-data; name=style; filename*=utf-8''x", "e") + kEnd, kType);
  ASSERT_TRUE(ask);
  EXPECT_EQ(ask->images, 5u);
  EXPECT_EQ(ask->text_bytes, 7u);
  const auto named = read_image_form(kModel + field("image", "https://example.org/a.png") + kEnd, kType);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->images, 1u);
  EXPECT_EQ(named->remote, "image") << "nobody here knows its size";
  const auto sent = read_image_form(kModel + field("image", "data:image/png;base64,AA==") + kEnd, kType);
  EXPECT_TRUE(sent && sent->images == 1 && sent->remote.empty());
}

TEST(Form, TheBoundaryIsWhatTheRfcsAllow) {
  const auto with = [](std::string_view boundary) { return part("Content-Disposition: form-data; name=\"model\"", "m", boundary) + "--" + std::string(boundary) + "--"; };
  const std::string longest(70, 'x');
  for (const auto& [type, boundary] : std::initializer_list<std::pair<std::string, std::string>>{
           {"multipart/form-data; boundary=edge", "edge"}, {"Multipart/Form-Data;boundary=\"edge\"", "edge"},
           {"multipart/form-data; charset=utf-8; Boundary=edge", "edge"}, {"multipart/form-data; boundary=\"a b:c=d?/(e),f\"", "a b:c=d?/(e),f"},
           {"multipart/form-data; boundary=-", "-"}, {"multipart/form-data; boundary=" + longest, longest},
           {"multipart/form-data; boundary=----WebKitFormBoundaryABC", "----WebKitFormBoundaryABC"}})
    EXPECT_EQ(refused(with(boundary), type), "accepted") << type;
  for (const std::string type :
       {"", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\"", "multipart/mixed; boundary=edge",
        "multipart/form-data; boundary=edge; boundary=other", "multipart/form-data; boundary=edge; BOUNDARY=edge", "multipart/form-data; boundary*=utf-8''edge",
        "multipart/form-data; boundary*0=edge", "multipart/form-data; boundary=\"ed\\ge\"", "multipart/form-data; boundary=\"edge", "multipart/form-data; boundary=ed ge",
        "multipart/form-data boundary=edge", "multipart/form-data; boundary = edge", "multipart/form-data; boundary=\"edge \"", "multipart/form-data; boundary=\"e;g\"",
        "multipart/form-data;; boundary=edge", "multipart/form-data; boundary=edge\r\nx: y"})
    EXPECT_EQ(refused(with("edge"), type), "content-type") << type;
  EXPECT_EQ(refused(with(longest + "x"), "multipart/form-data; boundary=" + longest + "x"), "content-type");
  EXPECT_EQ(refused(with("edge"), "multipart/form-data; boundary=other"), "body");
}

TEST(Form, FieldsThatDecideTheCostAreThereOnceAndPlain) {
  EXPECT_EQ(refused(kEnd), "body") << "no parts";
  EXPECT_EQ(refused(field("prompt", "x") + kEnd), "model");
  EXPECT_EQ(refused(field("model", "") + kEnd), "model");
  EXPECT_EQ(refused(field("model", std::string(257, 'm')) + kEnd), "model");
  EXPECT_EQ(refused(field("model", std::string("m\0", 2)) + kEnd), "model");
  EXPECT_EQ(refused(field("model", "m\xff") + kEnd), "model");
  for (const std::string name : {"model", "n", "size", "quality", "stream", "partial_images", "user", "prompt"}) {
    const std::string value = name == "stream" ? "true" : "1";
    const std::string before = name == "model" ? "" : kModel;
    EXPECT_EQ(refused(before + field(name, value) + field(name, value) + kEnd), name) << "twice";
    EXPECT_EQ(refused(before + file(name, value) + kEnd), name) << "a file";
    for (const std::string& other : {name + "[]", name + "[0]", " " + name, name + " ", to_lower_ascii(name).replace(0, 1, 1, static_cast<char>(name[0] - 32))})
      EXPECT_EQ(refused(before + field(other, value) + kEnd), name) << "spelt '" << other << "'";
  }
  for (const std::string n : {"", "0", "11", "-1", "+4", " 4", "4 ", "4.0", "04", "0x4", "4\r\n", "\xef\xbc\x94", "99999999999999999999"})
    EXPECT_EQ(refused(kModel + field("n", n) + kEnd), "n") << n;
  EXPECT_EQ(refused(kModel + field("n", "10") + kEnd), "accepted");
  EXPECT_EQ(refused(kModel + field("partial_images", "4") + kEnd), "partial_images");
  EXPECT_EQ(refused(kModel + field("stream", "yes") + kEnd), "stream");
}

TEST(Form, WhatAnotherReaderMightReadDifferentlyIsRefused) {
  const std::string head = "Content-Disposition: form-data; name=\"n\"";
  for (const auto& [why, body] : std::initializer_list<std::pair<std::string, std::string>>{
           {"empty", ""}, {"no form", "not a form"}, {"a preamble", "\r\n" + kModel + kEnd}, {"text before", "x" + kModel + kEnd},
           {"no closing boundary", kModel}, {"cut in the closing boundary", kModel + "--edge"}, {"half a closing boundary", kModel + "--edge-"},
           {"an epilogue", kModel + kEnd + "x"}, {"a second form", kModel + kEnd + kModel + kEnd}, {"lines that end with LF", "--edge\nContent-Disposition: form-data; name=\"model\"\n\nm\n--edge--"},
           {"LF before a boundary", kModel + part(head, "1\n--edge\nContent-Disposition: form-data; name=\"n\"\n\n9") + kEnd},
           {"a boundary within a line", kModel + field("prompt", "see --edge here") + kEnd}, {"a longer boundary", kModel + field("prompt", "x\r\n--edgeways") + kEnd},
           {"blanks after a boundary", "--edge \r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n" + kEnd},
           {"the boundary in a head", kModel + part(head + "\r\nX-A: --edge", "1") + kEnd},
           {"no head", kModel + "--edge\r\n\r\n4\r\n" + kEnd}, {"no value", kModel + "--edge\r\n" + kEnd}, {"a head alone", kModel + "--edge\r\n" + head + "\r\n" + kEnd},
           {"no disposition", kModel + part("Content-Type: text/plain", "4") + kEnd}, {"no name", kModel + part("Content-Disposition: form-data", "4") + kEnd},
           {"two dispositions", kModel + part(head + "\r\nContent-Disposition: form-data; name=\"x\"", "4") + kEnd},
           {"two names", kModel + part(head + "; name=\"x\"", "4") + kEnd}, {"an extended name", kModel + part("Content-Disposition: form-data; name=\"x\"; name*=utf-8''n", "4") + kEnd},
           {"an escaped name", kModel + part("Content-Disposition: form-data; name=\"%6e\"", "4") + kEnd},
           {"an escape", kModel + part("Content-Disposition: form-data; name=\"x\\\"; filename=\"y\"", "4") + kEnd},
           {"an open quote", kModel + part("Content-Disposition: form-data; name=\"n", "4") + kEnd}, {"not form-data", kModel + part("Content-Disposition: attachment; name=\"n\"", "4") + kEnd},
           {"an encoding", kModel + part(head + "\r\nContent-Transfer-Encoding: base64", "NA==") + kEnd}, {"a folded line", kModel + part("Content-Disposition: form-data;\r\n name=\"n\"", "4") + kEnd},
           {"a bare CR in a head", kModel + part(head + "\rX: y", "4") + kEnd}, {"a NUL in a head", kModel + part(head + std::string("\r\nX: \0", 6), "4") + kEnd},
           {"a blank before the colon", kModel + part("Content-Disposition : form-data; name=\"n\"", "4") + kEnd}, {"a line without a name", kModel + part(head + "\r\n: x", "4") + kEnd},
           {"a huge head", kModel + part(head + "\r\nX: " + std::string(kMaxPartHead, 'x'), "4") + kEnd}})
    EXPECT_EQ(refused(body), "body") << why;
  std::string many = kModel;
  for (std::size_t i = 1; i < kMaxFormParts; ++i) many += field("f" + std::to_string(i), "");
  EXPECT_EQ(refused(many + kEnd), "accepted");
  EXPECT_EQ(refused(many + field("one_more", "") + kEnd), "body");
}

// Every cut of a good form is refused, and none reads past its end (the copy has no room behind it).
TEST(Form, NoCutOfAFormIsAForm) {
  const std::string body = field("n", "2") + kModel + file("image", "\r\n--edg") + "--edge--";
  ASSERT_EQ(refused(body), "accepted");
  for (std::size_t size = 0; size < body.size(); ++size) {
    const std::vector<char> exact(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(refused({exact.data(), exact.size()}), "body") << size;
  }
}

// Bodies made to slow a reader down: of dashes, of almost-boundaries, of line ends. 2 MB each; a quadratic reader takes minutes.
TEST(Form, HostileBodiesAreReadInLinearTime) {
  const std::string boundary(70, '-');
  const std::string type = "multipart/form-data; boundary=" + boundary.substr(1) + "x";
  const auto started = std::chrono::steady_clock::now();
  for (const std::string unit : {"-", "\r\n", "\r\n--", "\r\n--------------------------------------------------------------------y", "--edge", "--edg"}) {
    std::string filler;
    while (filler.size() < 2U << 20) filler += unit;
    EXPECT_NE(refused(part("Content-Disposition: form-data; name=\"image\"", filler, boundary.substr(1) + "x"), type), "accepted");
    EXPECT_NE(refused("--edge\r\n" + filler), "accepted");
    EXPECT_NE(refused(filler, "multipart/form-data; boundary=\"" + std::string(60, ' ') + "x\""), "accepted");
    EXPECT_NE(refused("", "multipart/form-data; " + filler), "accepted");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(60));
}

}  // namespace
}  // namespace ballast::llm
