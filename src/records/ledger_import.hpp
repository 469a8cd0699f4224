// How calls enter the ledger; for the journal's importer, which has the encoded form at hand.
#pragma once
#include <span>
#include <string_view>

#include "records/call_record.hpp"
#include "store/database.hpp"

namespace ballast::records {

struct EncodedCall {
  const CallRecord* record;
  std::string_view bytes;    // encode(record)
};
Result<std::uint64_t> add_encoded_calls(store::Tx& tx, std::span<const EncodedCall> calls);

}  // namespace ballast::records
