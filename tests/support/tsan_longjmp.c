/* Lua's way out of an error, where ThreadSanitizer sees it.
 *
 * A fortified liblua leaves by __longjmp_chk(), which ThreadSanitizer does not
 * know: its own stack of callers then keeps every frame that was left.  After
 * some 65,000 it gives up, and until then each allocation stores the whole of
 * it, which is slow and takes gigabytes.  It knows longjmp(), which does the
 * same.  Part of every program of the thread build, and of no other. */
#include <setjmp.h>

/* glibc's name, in no header; what liblua asks for has to find it. */
__attribute__((visibility("default"))) void __longjmp_chk(jmp_buf env,
                                                          int value);

void __longjmp_chk(jmp_buf env, int value)
{
    longjmp(env, value);
}
