// Encodes files again and again, for bench/tokens/run: tokens_speed ENCODING SECONDS FILE…
// A line of JSON each: the file, its bytes, its tokens, the SHA-256 of the ids as text, and the median seconds of one encoding (thread CPU time).
#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>
#include <vector>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "tokens/tokens.hpp"

namespace {

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace ballast;
  const auto* encoding = argc > 3 ? tokens::Encoding::from_name(argv[1]) : nullptr;
  const auto seconds = encoding ? parse_double(argv[2]) : std::nullopt;
  if (!seconds) {
    std::cerr << "usage: tokens_speed o200k_base|cl100k_base SECONDS FILE...\n";
    return 2;
  }
  for (int i = 3; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    std::stringstream all;
    all << file.rdbuf();
    const auto text = all.str();
    std::vector<std::uint32_t> ids;
    std::vector<double> encode, count;
    for (const double end = cpu_seconds() + *seconds; encode.size() < 3 || cpu_seconds() < end;) {
      ids.clear();
      double from = cpu_seconds();
      encoding->encode(text, ids);
      encode.push_back(cpu_seconds() - from);
      from = cpu_seconds();
      if (encoding->count(text) != ids.size()) return 1;
      count.push_back(cpu_seconds() - from);
    }
    std::string spelled;
    for (const auto id : ids) {
      if (!spelled.empty()) spelled += ' ';
      spelled += std::to_string(id);
    }
    for (auto* times : {&encode, &count}) std::nth_element(times->begin(), times->begin() + static_cast<std::ptrdiff_t>(times->size() / 2), times->end());
    std::cout << "{\"file\": \"" << argv[i] << "\", \"bytes\": " << text.size() << ", \"tokens\": " << ids.size() << ", \"sha256\": \"" << to_hex(sha256(spelled))
              << "\", \"encode_s\": " << encode[encode.size() / 2] << ", \"count_s\": " << count[count.size() / 2] << "}\n";
  }
}
