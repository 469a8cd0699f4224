// What the ledger keeps beside its calls, read back from a damaged disk: summaries, zones, rollups, packed records. Damage is noticed or harmless: nothing is read out
// of bounds, what is whole reads back as it was written, and no zone hides a call that its block has.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../support/records_samples.hpp"
#include "records/call_block.hpp"
#include "records/rollups_row.hpp"
#include "records/zones.hpp"
#include "require.hpp"

using namespace ballast;

namespace {

// Each call of a summary is found by a search for any of its own names, its status, its cost and its latency.
void zone_hides_nothing(std::string_view summary) {
  const std::string zone = records::zone_of(summary);
  records::SummaryReader reader(summary);
  for (records::CallRow row; reader.next(row);) {
    if (zone.empty()) continue;
    records::CallFilter filter;
    filter.user = reader.names()[row.name(records::Name::user)];
    filter.model = reader.names()[row.name(records::Name::model)];
    filter.status = row.status;
    filter.cache = row.cache;
    filter.min_latency_us = filter.max_latency_us = row.amounts.latency_us;
    if (row.amounts.incurred_nano >= 0) filter.min_cost_nano = filter.max_cost_nano = row.amounts.incurred_nano;
    require(records::ZoneProbe(filter).may_match(zone));
  }
}

void rollups(std::string_view plain) {
  records::Section section;
  if (records::decode_section(plain, section)) {
    records::Section again;
    require(records::decode_section(records::encode_section(section), again) && again == section);
  }
  records::Rollup sums;
  (void)records::decode_sums(plain, sums);
  records::Cells cells;
  if (records::decode_cells(plain, cells)) {
    records::Cells again;
    require(records::decode_cells(records::encode_cells(cells), again) && again.size() == cells.size());
  }
  records::RollupMaker maker;
  records::SummaryReader reader(plain);
  maker.begin(reader.names());
  std::uint64_t calls = 0;
  for (records::CallRow row; reader.next(row); ++calls) maker.add(row);
  require(maker.take().calls() == calls);
}

// What a whole block and its rollup are kept as.
std::vector<std::string> whole() {
  std::vector<std::string> encoded;
  std::vector<records::EncodedCall> calls;
  for (std::uint64_t n = 1; n <= 20; ++n) {
    auto call = test::sample_call(n, static_cast<std::int64_t>(n) * 100);
    call.user = "user " + std::to_string(n % 7);
    call.status = static_cast<records::CallStatus>(n % 4);
    call.cache = static_cast<records::CacheState>(n % 8);
    records::encode(encoded.emplace_back(), call);
    calls.push_back({call.id, {}});
  }
  for (std::size_t i = 0; i < calls.size(); ++i) calls[i].bytes = encoded[i];
  const auto block = records::pack(calls).front();
  records::RollupMaker maker;
  records::SummaryReader reader(block.summary);
  maker.begin(reader.names());
  for (records::CallRow row; reader.next(row);) maker.add(row);
  const auto rollup = maker.take();
  return {block.summary, block.details, block.zone, records::encode_sums(rollup), records::encode_cells(*rollup.cells),
          records::encode_section(rollup.sums[static_cast<std::size_t>(records::Dimension::user)])};
}

// One of them, some bytes of which are others: three bytes of the input say where and what.
std::string damaged(std::string_view input) {
  static const auto all = whole();
  std::string out = all[static_cast<unsigned char>(input.front()) % all.size()];
  for (input.remove_prefix(1); input.size() >= 3; input.remove_prefix(3))
    out[(static_cast<unsigned char>(input[0]) * 256u + static_cast<unsigned char>(input[1])) % out.size()] = input[2];
  return out;
}

void look(std::string_view input) {
  zone_hides_nothing(input);
  rollups(input);
  std::string plain;
  (void)records::unpack_details(input, plain);
  records::CallFilter filter;
  filter.user = "ann";
  filter.max_latency_us = 1'000;
  (void)records::ZoneProbe(filter).may_match(input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  look(input);
  look(damaged(input));
  return 0;
}
