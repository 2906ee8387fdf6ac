/* The second link: the board's own connection to the broker, over Wi-Fi, with TLS or plain TCP. */

#ifndef NET_H
#define NET_H

#include <stdbool.h>

#include "link.h"

/* Name "net". Only after `net_start` answered true. */
extern const link_driver net_link;

/* Once, after nvs_flash_init. False: nobody has told this board of a network (README.md), and its link is the serial line. */
bool net_start(void);

/* True after `net_start` answered true: the runtime must look at the sockets. */
bool net_is_used(void);

#endif
