#include "store/foreign.hpp"

#include "store/drivers.hpp"

namespace ballast::store {

Error too_large_result(std::uint64_t bytes) {
  return {.code = ErrorCode::caller_too_large, .message = "the result is larger than " + std::to_string(bytes) + " bytes: ask for fewer rows or columns"};
}

Result<std::unique_ptr<Database>> open_foreign(std::string_view url, ForeignOptions options) {
  if (url.starts_with("sqlite:") && url.size() > 7) return open_foreign_sqlite(std::string(url.substr(7)), std::move(options));
  if (url.starts_with("postgres://") || url.starts_with("postgresql://"))
    return open_postgres(std::string(url), {.readers = options.readers, .max_queued = options.max_queued, .connect_timeout = options.connect_timeout,
                                            .clock = options.clock, .read_only = true, .max_result_bytes = options.max_bytes});
  return fail(ErrorCode::caller_invalid_request, "must be sqlite:FILE or postgres://…", "database");
}

}  // namespace ballast::store
